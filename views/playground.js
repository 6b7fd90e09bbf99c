// The playground: answers as they come, and the settled charge under each. Nothing is stored.
const by = (id) => document.getElementById(id);
const PATH = '/console/playground';
const said = [];
let sumMsat = 0;
let asking = null;
/** What is told of the question in the form, if it was priced. */
let reserved = '';
let pricing;

const typed = () => by('message').value.trim();
const sats = (msat) => `${(Math.round(msat) / 1e3).toLocaleString('en-US', { minimumFractionDigits: 3 })} sats`;
const took = (ms) => (ms < 1e3 ? `${ms | 0} ms` : `${(ms / 1e3).toFixed(1)} s`);
const dollars = (usd) => `$${usd.toFixed(usd >= 1 || usd === 0 ? 2 : usd >= 0.01 ? 4 : 6)}`;
const count = (value) => Number(value ?? 0).toLocaleString('en-US');

function element(tag, className = '', text = '', more = {}) {
  return Object.assign(document.createElement(tag), { className, textContent: text, ...more });
}

function entry(who, text, mine) {
  const article = element('article', mine ? 'said mine' : 'said');
  const [words, line] = [element('p', 'words', text), element('p', 'soft')];
  article.append(element('h3', 'unseen', who), words, line);
  by('log').append(article);
  article.scrollIntoView({ block: 'nearest' });
  return { words, line };
}

function settled(line, { msat, text, id }) {
  sumMsat += msat ?? 0;
  by('sum').textContent = sats(sumMsat);
  line.textContent = text;
  if (id) line.append(' · ', element('a', '', 'receipt', { href: `/console/requests/${id}` }));
}

/** What came is charged, once it is settled. */
async function chargeOfStopped(line, id) {
  line.textContent = 'Stopped. Being settled.';
  for (let tries = id ? 0 : 20; tries < 20; tries++) {
    const answer = await fetch(`${PATH}/charge/${id}`, { cache: 'no-store' }).catch(() => null);
    const charge = answer?.ok ? await answer.json() : { pending: true };
    if (!charge.pending) return settled(line, { msat: charge.chargedMsat, text: `Stopped: you pay for what came. ${charge.line}`, id });
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  line.textContent = 'Stopped. Usage shows the charge shortly.';
}

/** Sends a question to a path of the playground, by the key that is chosen. */
const post = (name, { model, text, headers, signal, ...more }) =>
  fetch(`${PATH}/${name}?key=${by('key').value}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, messages: [...said, { role: 'user', content: text }], ...more }),
    signal,
  });

const most = (msat) => `at most ${sats(msat)} reserved`;

/** What a question would cost on a model, in words, and the most that would be reserved. */
async function price(model, text) {
  const answer = await post('estimate', { model, text });
  const { error, estimatedCostMsat: usual, estimatedCostUsd: usd, maxCostMsat } = await answer.json();
  return error ? { line: error.message } : { line: `about ${sats(usual)} · ${dollars(usd)}, ${most(maxCostMsat)}`, maxCostMsat };
}

/** Says before sending what that may cost, once typing has paused. */
function foretell() {
  clearTimeout(pricing);
  const text = typed();
  reserved = by('price').textContent = '';
  if (text) pricing = setTimeout(tellPrice, 1000, by('model').value, text);
}

async function tellPrice(model, text) {
  const { line, maxCostMsat } = await price(model, text).catch(() => ({ line: '' }));
  if (asking || typed() !== text || by('model').value !== model) return;
  by('price').textContent = line;
  reserved = maxCostMsat ? `, ${most(maxCostMsat)}` : '';
}

/** Only the models that the chosen key may use can be chosen. */
function limitModels() {
  const { models } = by('key').selectedOptions[0]?.dataset ?? {};
  const allowed = models && JSON.parse(models);
  for (const option of by('model').options) option.disabled = Boolean(allowed) && !allowed.includes(option.value);
  if (by('model').selectedOptions[0]?.disabled) by('model').value = [...by('model').options].find(({ disabled }) => !disabled)?.value ?? '';
}

/** Reads a stream up to the figures of its last comment. */
async function read(body, onText) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const told = {};
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return told;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith(': pura ')) told.figures = JSON.parse(line.slice(7));
      if (!line.startsWith('data: {')) continue;
      const event = JSON.parse(line.slice(6));
      told.usage = event.usage ?? told.usage;
      told.error = event.error ?? told.error;
      onText(event.choices?.[0]?.delta?.content ?? '');
    }
  }
}

async function ask(text) {
  asking = new AbortController();
  const startedAt = performance.now();
  const outputMsat = Number(by('model').selectedOptions[0]?.dataset.output ?? 0);
  const { words, line } = entry('Answer', '');
  busy(true);
  let atMost = reserved;
  line.textContent = atMost.slice(2);
  foretell();
  let id;
  let firstAt;
  try {
    const cap = by('most').value.trim();
    const answer = await post('chat', {
      model: by('model').value,
      text,
      headers: cap && { 'x-pura-max-cost-sats': cap },
      signal: asking.signal,
      stream: true,
      stream_options: { include_usage: true },
    });
    const head = (name) => answer.headers.get(`x-pura-${name}`);
    id = head('request-id');
    if (!answer.ok) return await refused(line, await answer.json(), text);
    if (head('cost-msat') > 0) atMost = `, ${most(head('cost-msat'))}`;
    const told = await read(answer.body, (piece) => {
      firstAt ??= piece ? performance.now() : undefined;
      words.textContent += piece;
      if (outputMsat > 0) line.textContent = `about ${sats((words.textContent.length / 4e3) * outputMsat)} so far${atMost}`;
    });
    said.push({ role: 'user', content: text }, { role: 'assistant', content: words.textContent });
    const { figures, usage } = told;
    if (told.error) line.textContent = told.error.message;
    if (!figures || figures.pending) return await chargeOfStopped(line, figures?.request_id ?? id);
    const parts = [
      figures.funding === 'free' ? 'free' : sats(figures.charged_msat),
      dollars(figures.cost_usd),
      `${count(usage?.completion_tokens)} out, ${count(usage?.prompt_tokens)} in`,
      ...(firstAt ? [`first token ${took(firstAt - startedAt)}`] : []),
      `${figures.model ?? head('model')} by ${figures.provider ?? head('provider')}`,
    ];
    settled(line, { msat: figures.charged_msat, text: parts.join(' · '), id: figures.request_id });
  } catch (error) {
    if (error.name === 'AbortError') await chargeOfStopped(line, id);
    else line.textContent = 'The connection broke. Only what came is charged.';
  } finally {
    busy(false);
  }
}

/** Says why there is no answer; an invoice is shown, and the question asked again once that is paid. */
async function refused(line, { error = {} }, text) {
  line.textContent = error.message ?? 'No answer came.';
  const id = error.funding?.invoiceId;
  if (!id) return;
  const amount = `${count(error.funding.amount)} sats`;
  const code = element('a', 'qr', '', { href: error.funding.lightningUrl });
  code.append(element('img', '', '', { src: `/invoice/${id}/qr.svg`, alt: `QR code of an invoice of ${amount}` }));
  const link = element('a', 'button small', 'Open the invoice', { href: `/invoice/${id}?from=console`, target: '_blank' });
  line.after(code, element('p', 'soft', `Pay ${amount}: the question is asked again by itself.`), link);
  const events = new EventSource(`/invoice/${id}/events`);
  events.addEventListener('status', (event) => {
    const { status } = JSON.parse(event.data);
    if (status === 'pending') return;
    events.close();
    code.remove();
    link.remove();
    if (status === 'paid') void ask(text);
  });
}

function busy(isAsking) {
  if (!isAsking) asking = null;
  by('send').disabled = isAsking;
  by('stop').hidden = !isAsking;
}

function send() {
  const text = typed();
  if (!text || asking) return;
  by('message').value = '';
  entry('You', text, true);
  void ask(text);
}

/** What this message would cost on other models. */
async function elsewhere() {
  const text = typed();
  const models = new Set([by('model').value, ...[...document.querySelectorAll('[data-elsewhere]:enabled')].map(({ value }) => value)]);
  const list = element('dl', 'facts');
  for (const model of models) list.append(element('dt', '', model), element('dd', '', (await price(model, text)).line));
  by('estimates').replaceChildren(list);
  by('note').textContent = 'Asked for free.';
}

by('keys-hint').hidden = false;
limitModels();
for (const name of ['key', 'model', 'message']) by(name).addEventListener('input', foretell);
by('key').addEventListener('change', limitModels);
by('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  if (event.submitter === by('elsewhere')) void elsewhere();
  else send();
});
by('message').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') asking?.abort();
});
by('stop').addEventListener('click', () => asking?.abort());
