/** A chat request for the fake provider, with whatever else the test wants in it. */
export function chat(members: object = {}): { model: string; messages: { role: string; content: string }[] } {
  return { model: 'pureai/fake', messages: [{ role: 'user', content: 'hi' }], ...members };
}

/** What the gateway itself counts a request's prompt as, where the provider counts nothing: a quarter of the bytes. */
export function ownPromptTokens({ messages }: { messages: unknown }): number {
  return Math.ceil(Buffer.byteLength(JSON.stringify({ messages })) / 4);
}

export interface ErrorBody {
  message: string;
  type: string;
  code: string;
  param: string | null;
  reason?: string;
  retry_after?: number;
  resets_at?: string;
  request_id?: string;
  cost_msat?: number;
  funding?: { invoiceId: string; paymentRequest: string; amount: number; status: string; invoiceUrl: string; statusUrl: string };
}

export async function errorOf(answer: Response): Promise<ErrorBody> {
  return ((await answer.json()) as { error: ErrorBody }).error;
}
