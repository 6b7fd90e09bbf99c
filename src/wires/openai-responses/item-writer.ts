import type { BlockHead, Finish } from '../answer.ts';
import type { Signature } from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { annotationOf } from './annotations.ts';
import { sealedText, type Sealed } from './sealed.ts';
import type { OwnName, ToolNames } from './tool-names.ts';

/** Hears of every event but the first two and the last. */
type Emit = (type: string, fields: JsonObject) => void;

interface OpenMessage {
  readonly index: number;
  readonly id: string;
  readonly content: JsonObject[];
}

interface OpenBlock {
  readonly head: BlockHead;
  text: string;
  signature: Signature | undefined;
  readonly annotations: JsonObject[];
  readonly logprobs: unknown[];
  /** What is told of a call, and where; undefined until it is begun. */
  call?: { readonly index: number; readonly item: JsonObject; readonly own: OwnName };
  /** Of reasoning: begun with its first text, since an item that says nothing is none. */
  reasoning?: { readonly index: number; readonly id: string };
}

/** Puts blocks into the items of a response, and tells of each as it grows. Texts and refusals in a row are the parts of one message. */
export class ItemWriter {
  readonly items: JsonObject[] = [];
  readonly #ids: string;
  readonly #names: ToolNames;
  readonly #showsSealed: boolean;
  readonly #emit: Emit;
  #count = 0;
  #message: OpenMessage | null = null;
  #block: OpenBlock | null = null;
  hasRefused = false;

  /** @param ids letters and digits that no other response's ids hold. */
  constructor(ids: string, names: ToolNames, showsSealed: boolean, emit: Emit = () => undefined) {
    this.#ids = ids;
    this.#names = names;
    this.#showsSealed = showsSealed;
    this.#emit = emit;
  }

  begin(head: BlockHead): void {
    this.end();
    this.#block = { head, text: '', signature: undefined, annotations: [], logprobs: [] };
    if (head.type === 'tool_call') this.#beginCall(this.#block, head);
    else if (head.type !== 'reasoning') this.#beginContent(head.type);
  }

  delta(text: string): void {
    const block = this.#block;
    if (!block || text === '') return;
    block.text += text;
    if (block.call) this.#tellCall(block.call, text);
    else if (block.head.type === 'reasoning') this.#tellReasoning(block, text);
    else this.#tellContent(block, text);
  }

  sign(signature: Signature): void {
    if (this.#block) this.#block.signature = signature;
  }

  cite(citation: unknown): void {
    const annotation = this.#block && annotationOf(citation, this.#block.text.length);
    if (!annotation || !this.#message || this.#block?.head.type !== 'text') return;
    this.#emit('response.output_text.annotation.added', {
      ...this.#placeOfContent(this.#message),
      annotation_index: this.#block.annotations.push(annotation) - 1,
      annotation,
    });
  }

  logprobs(entries: readonly unknown[]): void {
    this.#block?.logprobs.push(...entries);
  }

  /** Ends the block that is open. */
  end(): void {
    const block = this.#block;
    this.#block = null;
    if (!block) return;
    if (block.call) this.#endCall(block, block.call);
    else if (block.head.type === 'reasoning') this.#endReasoning(block, block.head.redacted);
    else this.#endContent(block);
    if (block.signature && block.head.type !== 'reasoning') this.#seal({ of: 'previous', signature: block.signature });
  }

  /** Ends what is open; a message that was cut off is incomplete. */
  close({ reason }: Finish): void {
    this.end();
    this.#endMessage(reason === 'length' || reason === 'content_filter' || reason === 'error' ? 'incomplete' : 'completed');
  }

  #next(prefix: string): { index: number; id: string } {
    const index = this.#count++;
    return { index, id: `${prefix}_${this.#ids}_${index}` };
  }

  #beginContent(type: 'text' | 'refusal'): void {
    if (!this.#message) {
      const { index, id } = this.#next('msg');
      this.#message = { index, id, content: [] };
      this.#added(index, { id, type: 'message', status: 'in_progress', role: 'assistant', content: [] });
    }
    const part = type === 'text' ? { type: 'output_text', text: '', annotations: [], logprobs: [] } : { type: 'refusal', refusal: '' };
    this.#emit('response.content_part.added', { ...this.#placeOfContent(this.#message), part });
  }

  #placeOfContent({ id, index, content }: OpenMessage): JsonObject {
    return { item_id: id, output_index: index, content_index: content.length };
  }

  #tellContent({ head, logprobs }: OpenBlock, delta: string): void {
    if (!this.#message) return;
    const place = this.#placeOfContent(this.#message);
    if (head.type === 'refusal') this.#emit('response.refusal.delta', { ...place, delta });
    else this.#emit('response.output_text.delta', { ...place, delta, logprobs: logprobs.splice(0) });
  }

  #endContent({ head, text, annotations, logprobs }: OpenBlock): void {
    if (!this.#message) return;
    const place = this.#placeOfContent(this.#message);
    const isRefusal = head.type === 'refusal';
    const part = isRefusal ? { type: 'refusal', refusal: text } : { type: 'output_text', text, annotations, logprobs };
    if (isRefusal) {
      this.hasRefused = true;
      this.#emit('response.refusal.done', { ...place, refusal: text });
    } else this.#emit('response.output_text.done', { ...place, text, logprobs });
    this.#emit('response.content_part.done', { ...place, part });
    this.#message.content.push(part);
  }

  #endMessage(status: 'completed' | 'incomplete'): void {
    const message = this.#message;
    this.#message = null;
    if (message) this.#done(message.index, { id: message.id, type: 'message', status, role: 'assistant', content: message.content });
  }

  #beginCall(block: OpenBlock, head: Extract<BlockHead, { type: 'tool_call' }>): void {
    this.#endMessage('completed');
    const own = this.#names.own(head.name, head.kind);
    const { index, id } = this.#next(own.kind === 'custom' ? 'ctc' : 'fc');
    const item = {
      id,
      type: own.kind === 'custom' ? 'custom_tool_call' : 'function_call',
      status: 'in_progress',
      call_id: head.id === '' ? `call_${this.#ids}_${index}` : head.id,
      name: own.name,
      ...(own.namespace !== undefined && { namespace: own.namespace }),
    };
    block.call = { index, item, own };
    block.signature = head.signature;
    this.#added(index, { ...item, [own.kind === 'custom' ? 'input' : 'arguments']: '' });
  }

  #tellCall({ index, item, own }: NonNullable<OpenBlock['call']>, delta: string): void {
    const type = own.kind === 'custom' ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta';
    this.#emit(type, { item_id: item['id'], output_index: index, delta });
  }

  #endCall(block: OpenBlock, call: NonNullable<OpenBlock['call']>): void {
    const { index, item, own } = call;
    const place = { item_id: item['id'], output_index: index };
    // Clients read arguments as JSON, also of a call without any.
    const isEmpty = block.text.trim() === '' && own.kind === 'function';
    if (isEmpty) this.#tellCall(call, '{}');
    // With the blanks that were told already: the whole is what its pieces were.
    const input = isEmpty ? `${block.text}{}` : block.text;
    if (own.kind === 'custom') this.#emit('response.custom_tool_call_input.done', { ...place, input });
    else this.#emit('response.function_call_arguments.done', { ...place, name: item['name'], arguments: input });
    this.#done(index, { ...item, status: 'completed', [own.kind === 'custom' ? 'input' : 'arguments']: input });
  }

  #beginReasoning(block: OpenBlock): { index: number; id: string } {
    this.#endMessage('completed');
    block.reasoning = this.#next('rs');
    this.#added(block.reasoning.index, { id: block.reasoning.id, type: 'reasoning', summary: [] });
    return block.reasoning;
  }

  #tellReasoning(block: OpenBlock, delta: string): void {
    const begun = block.reasoning;
    const { index, id } = begun ?? this.#beginReasoning(block);
    const place = { item_id: id, output_index: index, summary_index: 0 };
    if (!begun) this.#emit('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } });
    this.#emit('response.reasoning_summary_text.delta', { ...place, delta });
  }

  #endReasoning(block: OpenBlock, redacted: Signature | undefined): void {
    const { text, signature } = block;
    const sealed: Sealed | undefined = redacted ? { of: 'redacted', signature: redacted } : signature && { of: 'thoughts', signature };
    const encrypted = sealed && this.#showsSealed ? { encrypted_content: sealedText(sealed) } : {};
    if (!block.reasoning && !('encrypted_content' in encrypted)) return;
    const { index, id } = block.reasoning ?? this.#beginReasoning(block);
    const summary = text === '' ? [] : [{ type: 'summary_text', text }];
    const place = { item_id: id, output_index: index, summary_index: 0 };
    if (text !== '') {
      this.#emit('response.reasoning_summary_text.done', { ...place, text });
      this.#emit('response.reasoning_summary_part.done', { ...place, part: summary[0] });
    }
    this.#done(index, { id, type: 'reasoning', summary, ...encrypted });
  }

  /** A signature of what came before, in an item of its own: the client gives it back with the conversation. */
  #seal(sealed: Sealed): void {
    if (!this.#showsSealed) return;
    this.#endMessage('completed');
    const { index, id } = this.#next('rs');
    this.#added(index, { id, type: 'reasoning', summary: [] });
    this.#done(index, { id, type: 'reasoning', summary: [], encrypted_content: sealedText(sealed) });
  }

  #added(index: number, item: JsonObject): void {
    this.#emit('response.output_item.added', { output_index: index, item });
  }

  #done(index: number, item: JsonObject): void {
    this.items[index] = item;
    this.#emit('response.output_item.done', { output_index: index, item });
  }
}
