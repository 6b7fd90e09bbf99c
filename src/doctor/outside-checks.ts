import type { Config } from '../config/config.ts';
import { apiKeyVariable, baseUrlVariable, PUBLIC_PROVIDERS, type PublicProvider } from '../config/public-providers.ts';
import { deploymentApiKey, type DeploymentConfig } from '../config/gateway-file.ts';
import { customAuth } from '../models/custom-deployment.ts';
import { agreedPrice, rateSources } from '../pricing/rate-sources.ts';
import { baseUrlOf, KNOWN_PROVIDERS, type CredentialHeader } from '../providers/known-providers.ts';
import { failed, isLoopback } from './configuration-checks.ts';
import { note, ok, problem, unknown, warning, type Check, type Finding } from './finding.ts';
import { messageOf } from './run-checks.ts';
import type { World } from './world.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;
const CLOCK_MS = 60_000;
const SIMULATED_ENOUGH = 'simulated: a made-up rate';

/** What is asked over the network: price sources, providers by what costs nothing, and the gateway's own public address. */
export function outsideChecks(config: Config, world: World): Check[] {
  const providers = PUBLIC_PROVIDERS.filter((id) => config[apiKeyVariable(id)] !== undefined);
  return [
    { name: 'exchange rate', look: () => lookAtRate(config, world) },
    ...(providers.length + config.deployments.length === 0 ? [{ name: 'providers', look: noProviders }] : []),
    ...providers.map((id) => ({ name: `provider ${id}`, look: () => lookAtProvider(config, id, world) })),
    ...config.deployments.map((entry) => ({ name: `deployment ${entry.id}`, look: () => lookAtDeployment(entry, world) })),
    { name: 'PUBLIC_URL', look: () => lookAtAddress(config, world) },
  ];
}

async function lookAtRate({ BTC_USD, LIGHTNING_BACKEND, BTC_USD_SOURCES }: Config, world: World): Promise<Finding[]> {
  if (LIGHTNING_BACKEND === 'simulated' && !BTC_USD) return [ok(SIMULATED_ENOUGH)];
  if (BTC_USD) {
    return LIGHTNING_BACKEND === 'simulated'
      ? [ok('fixed by BTC_USD')]
      : [
          warning(
            'fixed by BTC_USD: when the price moves, the house wins or loses the difference',
            'Take BTC_USD away to use the median of the public sources.',
          ),
        ];
  }
  const sources = rateSources(BTC_USD_SOURCES);
  const answers = await Promise.allSettled(sources.map((source) => world.priceOf(source)));
  const prices = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const silent = sources.flatMap(({ name }, index) => (answers[index]?.status === 'rejected' ? [name] : []));
  const agreed = agreedPrice(prices);
  const reach = 'Let the gateway reach the price sources over HTTPS, or name others in BTC_USD_SOURCES.';
  if (agreed === undefined) {
    const told = `${prices.length} of ${sources.length} sources answered, and no price is agreed: nothing can be priced`;
    return [problem(silent.length > 0 ? `${told}; no answer: ${silent.join(', ')}` : told, reach)];
  }
  const told = `$${Math.round(agreed).toLocaleString('en-US')}, by ${prices.length} of ${sources.length} sources`;
  return [silent.length > 0 ? warning(`${told}; no answer: ${silent.join(', ')}`, reach) : ok(told)];
}

function noProviders(): Finding[] {
  return [note('no key is set: only the demo provider answers', 'Set OPENAI_API_KEY or another (docs/providers.md).')];
}

function credentialHeaders(auth: CredentialHeader, key: string): Record<string, string> {
  return auth === 'bearer' ? { authorization: `Bearer ${key}` } : { [auth]: key };
}

/** Lists the models, which every provider gives away. */
async function lookAtProvider(config: Config, id: PublicProvider, world: World): Promise<Finding[]> {
  const known = KNOWN_PROVIDERS[id];
  const variable = apiKeyVariable(id);
  const pairs = Array.from({ length: known.headers.length / 2 }, (_pair, index) => known.headers.slice(index * 2, index * 2 + 2));
  const headers = { ...Object.fromEntries(pairs), ...credentialHeaders(known.auth, config[variable] ?? '') } as Record<string, string>;
  return lookAtModels(baseUrlOf(known, config[baseUrlVariable(id)]), headers, { world, keySetting: variable });
}

async function lookAtDeployment(entry: DeploymentConfig, world: World): Promise<Finding[]> {
  const apiKey = deploymentApiKey(entry);
  const credential = apiKey === undefined ? {} : credentialHeaders(customAuth(entry), apiKey);
  return lookAtModels(entry.baseUrl, { ...credential, ...entry.headers }, { world, keySetting: 'its apiKey' });
}

async function lookAtModels(
  baseUrl: string,
  headers: Record<string, string>,
  { world, keySetting }: { world: World; keySetting: string },
): Promise<Finding[]> {
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/models`;
  const asked = world.now();
  let answer;
  try {
    answer = await world.fetch(url.href, { headers });
  } catch (error) {
    return [failed(`${url.host} cannot be reached`, error, 'See the name, the firewall and the proxy between.')];
  }
  const { status, date } = answer;
  const offMs = date === null ? 0 : date - asked;
  const clock =
    Math.abs(offMs) > CLOCK_MS
      ? [warning(`its clock and this machine's differ by ${Math.round(Math.abs(offMs) / 1000)} s`, 'Let the machine keep its time by NTP.')]
      : [];
  return [judgedStatus(url.host, status, keySetting), ...clock];
}

function judgedStatus(host: string, status: number, keySetting: string): Finding {
  if (status === 200) return ok(`${host} lists its models`);
  if (status === 401 || status === 403)
    return problem(`${host} refuses the key (${status})`, `Set ${keySetting} to a key that lives and may list models.`);
  if (status === 402 || status === 429)
    return warning(`${host} answers ${status}: no credit left, or too many requests`, 'Look at the account there.');
  if (status === 404 || status === 405)
    return unknown(`${host} has no list of models (${status})`, 'Send it a request, or look at /status.');
  if (status >= 300 && status < 400)
    return problem(`${host} redirects (${status}), which the gateway does not follow`, 'Give the address that it redirects to.');
  return warning(`${host} answers ${status}`, 'Look at its status page, then run this again.');
}

async function lookAtAddress({ PUBLIC_URL, HOST, TRUSTED_PROXIES }: Config, world: World): Promise<Finding[]> {
  if (PUBLIC_URL === undefined) {
    if (isLoopback(HOST) && TRUSTED_PROXIES.length === 0)
      return [note('not set: only this machine reaches the gateway', 'For others: docs/deploy.md.')];
    return [
      warning(
        'not set, and others can reach the gateway: its links are made from what a request says',
        'Set PUBLIC_URL to the address that clients use.',
      ),
    ];
  }
  const url = new URL(PUBLIC_URL);
  const found: Finding[] = [];
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    found.push(
      problem(
        'is plain http: keys cross the network for everybody to read, and no wallet takes LNURL from it',
        'Put TLS in front (docs/deploy.md).',
      ),
    );
  }
  if (isLoopback(HOST) && !isLoopback(url.hostname) && TRUSTED_PROXIES.length === 0) {
    found.push(
      warning(
        'a proxy stands in front, and TRUSTED_PROXIES names none: all clients count as one address',
        'Set TRUSTED_PROXIES to the address of the proxy, e.g. 127.0.0.1.',
      ),
    );
  }
  if (url.protocol === 'https:') found.push(...(await lookAtTls(url, world)));
  return [...found, await lookAtHealth(PUBLIC_URL, world)];
}

async function lookAtTls(url: URL, world: World): Promise<Finding[]> {
  try {
    const { validTo, distrust } = await world.certificateOf(url);
    const days = Math.floor((validTo.getTime() - world.now()) / DAY_MS);
    const renew = 'See why the proxy does not renew it: Caddy and certbot say so in their logs.';
    if (days < 0) return [problem(`the certificate expired ${-days} days ago`, renew)];
    if (distrust !== null)
      return [problem(`the certificate is not trusted: ${distrust}`, 'Let the proxy send the whole chain of a certificate for this name.')];
    return [
      days < SOON_DAYS ? warning(`the certificate expires in ${days} days`, renew) : ok(`the certificate is good for ${days} more days`),
    ];
  } catch (error) {
    return [failed('no TLS', error, 'See that the name resolves to the proxy and that port 443 is open.')];
  }
}

async function lookAtHealth(publicUrl: string, world: World): Promise<Finding> {
  const advice =
    'See that the gateway runs and that the proxy passes everything on to it. From inside some networks the public address does not lead back in.';
  try {
    const { status, text } = await world.fetch(`${publicUrl}/health`, {});
    if (status === 200 && /"status"\s*:\s*"ok"/.test(text)) return ok(`${publicUrl}/health answers`);
    return problem(`${publicUrl}/health answers ${status}, and not as a gateway does`, advice);
  } catch (error) {
    return problem(`${publicUrl}/health does not answer: ${messageOf(error)}`, advice);
  }
}
