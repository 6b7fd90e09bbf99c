import { GatewayError } from '../errors.ts';
import type { Deployment } from '../models/deployment.ts';
import type { InferenceRequest } from '../wires/request.ts';
import { UPSTREAMS } from '../wires/upstreams.ts';
import type { Rendering, Upstream } from '../wires/wire.ts';

/** A deployment that may serve a request, the wire that it will be spoken to in, and the request in that wire. */
export interface Candidate {
  readonly deployment: Deployment;
  readonly upstream: Upstream;
  readonly rendering: Rendering;
}

export function candidateOf(request: InferenceRequest, deployment: Deployment, upstream: Upstream): Candidate {
  return { deployment, upstream, rendering: upstream.render(request, deployment.target) };
}

/** The wire to speak to a deployment in: the client's own where it will do, else the first that can say the request. Else what is in the way. */
export function wireFor(request: InferenceRequest, deployment: Deployment): Upstream | GatewayError {
  const general = generalObstacle(request, deployment);
  if (general) return general;
  const own = deployment.wires.includes(request.wire) ? [request.wire] : [];
  let first: GatewayError | undefined;
  for (const wire of [...own, ...deployment.wires.filter((name) => name !== request.wire)]) {
    const upstream = UPSTREAMS[wire];
    if (upstream?.operation !== request.operation) continue;
    const obstacle = wire === request.wire ? upstream.obstacle(request, deployment.target) : otherObstacle(request, deployment, upstream);
    if (!obstacle) return upstream;
    first ??= obstacle;
  }
  return first ?? new GatewayError('invalid_request', { message: `${deployment.model} cannot be asked in this way.`, param: 'model' });
}

function otherObstacle(request: InferenceRequest, { model, target }: Deployment, upstream: Upstream): GatewayError | null {
  // A field without a rule means something on its own wire alone.
  const param = request.ownWireOnly ?? request.unruled[0];
  if (param === undefined) return upstream.obstacle(request, target);
  return new GatewayError('invalid_request', { message: `${param}: ${model} cannot be asked this.`, param });
}

/** What stands in the way of a request in whatever wire. */
function generalObstacle({ media, routing, unruled }: InferenceRequest, { model, provider, target }: Deployment): GatewayError | null {
  const unfit = (message: string, param: string) => new GatewayError('invalid_request', { message, param });
  if (routing.excludeProviders.includes(provider.id)) {
    return unfit('All providers of this model are excluded.', 'routing.excludeProviders');
  }
  const unknown = unruled.find((name) => !target.allowParameters.includes(name));
  if (unknown !== undefined) return new GatewayError('unknown_parameter', { message: `${unknown} is not supported.`, param: unknown });
  const { firstImageParam, firstRemoteParam, firstDocumentParam } = media;
  if (firstImageParam !== null && !target.takesImages) return unfit(`${model} takes no images.`, firstImageParam);
  if (firstRemoteParam !== null && !target.takesRemoteMedia) return unfit(`${model} takes images as data: URLs only.`, firstRemoteParam);
  if (firstDocumentParam !== null && !target.takesDocuments) return unfit(`${model} takes no documents.`, firstDocumentParam);
  return null;
}

/** Whether a model costs nothing. */
export function isFree({ rateCard }: Deployment): boolean {
  return rateCard.dearestInput === 0n && rateCard.dearestOutput === 0n;
}

/** The most output, over all completions, that what goes upstream allows. */
export function mostOutputTokens({ completions }: InferenceRequest, { maxOutputTokens }: Deployment, grantedTokens: number): number {
  return Math.min(grantedTokens, maxOutputTokens) * completions;
}
