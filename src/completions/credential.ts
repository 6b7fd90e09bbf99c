import type { Candidate } from '../routing/candidate.ts';
import type { UnderWay } from './call.ts';

type Planned = Pick<UnderWay, 'plan'>;

/** The caller's own key, where that is what a candidate is asked with; undefined where the operator's is. */
export function credentialOf({ plan }: Planned, { deployment: { provider } }: Candidate): string | undefined {
  return plan.own?.key.secretFor(provider.id);
}

/** A provider's words without the credential that it was asked with. */
export function censored(planned: Planned, candidate: Candidate, text: string): string {
  return candidate.deployment.provider.censor?.(text, credentialOf(planned, candidate)) ?? text;
}
