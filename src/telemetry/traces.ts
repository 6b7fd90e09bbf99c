import { randomBytes } from 'node:crypto';
import { SpanKind, SpanStatusCode, TraceFlags, type HrTime, type Link, type SpanContext } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace';
import type { BatchFacts, Observation, ObservedKind, Span, TraceIds } from '../observation.ts';
import { requestSpans, type SpanDraft } from './request-spans.ts';

export interface TracesOptions {
  /** Where OTLP is taken over HTTP, without `/v1/traces`. */
  readonly endpoint: string;
  readonly headers?: Record<string, string> | undefined;
  readonly serviceName: string;
  readonly version: string;
  /** 0 to 1: of requests, and of what happens without one. */
  readonly share: number;
}

/** Requests whose batches may still be told: those of before are forgotten. */
const MOST_REMEMBERED = 20_000;
const MOST_LINKS = 128;
const TRACEPARENT = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/;
const SCOPE = { name: 'pura' };
/** Spans that are no part of a request, by the call to the node that they are. */
const CALL_SPANS: Partial<Record<string, string>> = { createInvoice: 'pura.invoice', pay: 'pura.withdraw' };

/** What is told of each kind that makes a span. */
type Telling = { readonly [Kind in ObservedKind]?: (one: Observation<Kind>) => void };

/**
 * Makes spans of what is observed and sends them off, many at once. Loaded only where traces are wanted. No span has anything of what people
 * say to models, nor an account, a key or a label.
 */
export class Traces {
  readonly #share: number;
  readonly #processor: BatchSpanProcessor;
  readonly #resource: ReturnType<typeof resourceFromAttributes>;
  readonly #remembered = new Map<string, TraceIds>();
  readonly #telling: Telling = {
    request: (one) => {
      const { trace } = one;
      if (trace?.sampled) for (const draft of requestSpans(one, trace)) this.#send(trace.traceId, draft);
    },
    ledger_batch: (one) => this.#batch('pura.ledger_batch', one),
    record_batch: (one) => this.#batch('pura.record', one),
    lightning_call: ({ call, result, ...span }) => {
      const name = CALL_SPANS[call];
      if (name !== undefined) this.#alone(name, span, { 'pura.result': result }, result === 'failed');
    },
    deposit: ({ via, receivedMsat, ...span }) =>
      this.#alone('pura.credit', span, { 'pura.via': via, 'pura.received_msat': Number(receivedMsat) }),
    autopay: ({ result, ...span }) => this.#alone('pura.autopay', span, { 'pura.result': result }, result !== 'paid'),
  };

  constructor({ endpoint, headers, serviceName, version, share }: TracesOptions) {
    this.#share = share;
    const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, ...(headers && { headers }) });
    this.#processor = new BatchSpanProcessor({ exporter });
    this.#resource = resourceFromAttributes({ 'service.name': serviceName, 'service.version': version });
  }

  /** The ids of a request's trace: a new one, for the client's own is somebody else's. */
  begin(requestId: string, traceparent: string | undefined): TraceIds {
    const traceId = randomBytes(16).toString('hex');
    const [, theirs, span] = TRACEPARENT.exec(traceparent ?? '') ?? [];
    const parent = theirs !== undefined && span !== undefined ? { traceId: theirs, spanId: span } : null;
    const ids = { traceId, spanId: this.newSpanId(), sampled: this.#isSampled(traceId), parent };
    this.#remember(requestId, ids);
    return ids;
  }

  newSpanId(): string {
    return randomBytes(8).toString('hex');
  }

  readonly read = (one: Observation): void => {
    const tell = this.#telling[one.kind] as ((observed: Observation) => void) | undefined;
    tell?.(one);
  };

  /** Sends what waits; resolves at once where the receiver is away. */
  async close(): Promise<void> {
    await this.#processor.shutdown().catch(() => {});
  }

  #remember(requestId: string, ids: TraceIds): void {
    if (!ids.sampled) return;
    this.#remembered.set(requestId, ids);
    if (this.#remembered.size <= MOST_REMEMBERED) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** One span for all of its requests, which it links to. */
  #batch(name: string, { rows, ...span }: BatchFacts): void {
    const linked = rows.flatMap(({ requestId, id }) => this.#remembered.get(requestId ?? id ?? '') ?? []).slice(0, MOST_LINKS);
    if (linked.length === 0) return;
    const traceId = randomBytes(16).toString('hex');
    this.#send(traceId, { name, span, attributes: { 'pura.rows': rows.length }, links: linked, spanId: this.newSpanId() });
  }

  #alone(name: string, span: Span, attributes: SpanDraft['attributes'], isError = false): void {
    const traceId = randomBytes(16).toString('hex');
    if (this.#isSampled(traceId)) this.#send(traceId, { name, span, attributes, isError, spanId: this.newSpanId() });
  }

  /** By the id, so that all who see it decide alike. */
  #isSampled(traceId: string): boolean {
    return Number.parseInt(traceId.slice(0, 8), 16) < this.#share * 0x1_0000_0000;
  }

  #send(
    traceId: string,
    { name, kind = 'internal', span, attributes, spanId, parentSpanId, links = [], isError = false }: SpanDraft,
  ): void {
    const contextOf = (id: string, inTrace = traceId): SpanContext => ({ traceId: inTrace, spanId: id, traceFlags: TraceFlags.SAMPLED });
    const context = contextOf(spanId);
    const told: ReadableSpan = {
      name,
      kind: KINDS[kind],
      spanContext: () => context,
      ...(parentSpanId !== undefined && { parentSpanContext: contextOf(parentSpanId) }),
      startTime: timeOf(span.startedAt),
      endTime: timeOf(span.endedAt),
      duration: hrTime(Math.max(0, span.endedAt - span.startedAt)),
      status: { code: isError ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
      attributes,
      links: links.map((link): Link => ({ context: contextOf(link.spanId, link.traceId) })),
      events: [],
      ended: true,
      resource: this.#resource,
      instrumentationScope: SCOPE,
      ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
    };
    this.#processor.onEnd(told);
  }
}

const KINDS = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };

/** The wall clock's time of a moment of `performance.now()`. */
function timeOf(at: number): HrTime {
  return hrTime(performance.timeOrigin + at);
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
