import { randomBytes } from 'node:crypto';
import type { AttemptFacts, RequestFacts, Span, TraceIds } from '../observation.ts';

/** A span as it is to be told. */
export interface SpanDraft {
  readonly name: string;
  readonly kind?: 'internal' | 'server' | 'client';
  readonly span: Span;
  readonly attributes: Record<string, string | number | boolean>;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError?: boolean;
}

const OPERATIONS = { generate: 'chat', embed: 'embeddings' } as const;
const newSpanId = () => randomBytes(8).toString('hex');

/** The spans of a request: itself, its stages, and each attempt with its exchange over HTTP. */
export function requestSpans(one: RequestFacts, { spanId, parent }: TraceIds): SpanDraft[] {
  const { path, status, code, outcome, requestId } = one;
  const isError = status >= 500;
  const whole: SpanDraft = {
    name: `POST ${path}`,
    kind: 'server',
    span: one,
    spanId,
    links: parent ? [parent] : [],
    isError,
    attributes: {
      'http.request.method': 'POST',
      'http.route': path,
      'http.response.status_code': status,
      ...(isError && { 'error.type': code ?? String(status) }),
      'pura.outcome': outcome,
      'pura.request_id': requestId,
    },
  };
  return [whole, ...stages(one, spanId), ...one.attempts.flatMap((attempt) => attemptSpans(one, attempt, spanId))];
}

function stages(
  { stages: at, startedAt, endedAt, plan, admission, answer, funding, outcome }: RequestFacts,
  parentSpanId: string,
): SpanDraft[] {
  const stage = (name: string, begin: number, end: number, attributes: SpanDraft['attributes']): SpanDraft[] =>
    begin === 0
      ? []
      : [{ name, span: { startedAt: begin, endedAt: end === 0 ? endedAt : end }, attributes, spanId: newSpanId(), parentSpanId }];
  return [
    ...stage('pura.authenticate', startedAt, at.identifiedAt, {}),
    ...stage('pura.plan', at.planAt, at.plannedAt, {
      ...(plan?.chosen && { 'gen_ai.request.model': plan.chosen.model }),
      ...(plan && { 'pura.candidates': plan.candidates }),
      ...(plan?.tier && { 'pura.tier': plan.tier }),
    }),
    ...stage('pura.admit', at.admitAt, at.admittedAt, {
      ...(funding && { 'pura.funding': funding }),
      ...(admission && { 'pura.hold_msat': Number(admission.heldMsat), 'pura.verdict': admission.verdict }),
    }),
    ...stage('pura.settle', at.settleAt, at.settledAt, {
      'pura.outcome': outcome,
      ...(answer && { 'pura.charged_msat': Number(answer.chargedMsat) }),
    }),
  ];
}

function attemptSpans({ answer }: RequestFacts, attempt: AttemptFacts, parentSpanId: string): SpanDraft[] {
  const { deployment, result, status, startedAt, endedAt, spanId: told } = attempt;
  const spanId = told ?? newSpanId();
  const isError = result !== 'ok';
  const error: SpanDraft['attributes'] = isError ? { 'error.type': result } : {};
  const usage = answer && !isError && answer.deployment?.id === deployment.id ? answer.usage : null;
  const operation = OPERATIONS[deployment.operation];
  const http: SpanDraft = {
    name: 'POST',
    kind: 'client',
    span: { startedAt, endedAt },
    spanId: newSpanId(),
    parentSpanId: spanId,
    isError,
    attributes: { 'http.request.method': 'POST', ...(status !== null && { 'http.response.status_code': status }), ...error },
  };
  const asked: SpanDraft = {
    name: `${operation} ${deployment.model}`,
    kind: 'client',
    span: attempt,
    spanId,
    parentSpanId,
    isError,
    attributes: {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': deployment.provider.id,
      'gen_ai.request.model': deployment.model,
      ...(usage && { 'gen_ai.usage.input_tokens': usage.input + usage.cacheRead + usage.cacheWrite + usage.cacheWriteLong }),
      ...(usage && { 'gen_ai.usage.output_tokens': usage.output }),
      ...error,
    },
  };
  return [asked, http];
}
