// The playground: answers as they come, and the settled charge under each. Nothing is stored.
const by = (id) => document.getElementById(id);
const PATH = '/console/playground';
const said = [];
let sumMsat = 0;
let asking = null;

const sats = (msat) => `${(Math.round(msat) / 1000).toLocaleString('en-US', { minimumFractionDigits: 3, maximumFractionDigits: 3 })} sats`;
const dollars = (usd) => `$${usd.toFixed(usd >= 1 || usd === 0 ? 2 : usd >= 0.01 ? 4 : 6)}`;
const count = (value) => Number(value ?? 0).toLocaleString('en-US');

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function entry(who, text, mine) {
  const article = element('article', mine ? 'said mine' : 'said');
  article.append(element('h3', 'unseen', who), element('p', 'words', text), element('p', 'soft'));
  by('log').append(article);
  article.scrollIntoView({ block: 'nearest' });
  return { article, words: article.querySelector('.words'), line: article.querySelector('.soft') };
}

function settled(line, { msat, text, id }) {
  sumMsat += msat ?? 0;
  by('sum').textContent = sats(sumMsat);
  line.textContent = text;
  if (!id) return;
  const link = element('a', '', 'receipt');
  link.href = `/console/requests/${id}`;
  line.append(' · ', link);
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

/** Reads a stream up to the figures of its last comment. */
async function read(body, onText) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const told = { figures: null, usage: null, model: null, error: null };
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
      told.model = event.model ?? told.model;
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
  let id = null;
  let firstAt = null;
  try {
    const most = by('most').value.trim();
    const answer = await fetch(`${PATH}/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(most && { 'x-pura-max-cost-sats': most }) },
      body: JSON.stringify({
        model: by('model').value,
        messages: [...said, { role: 'user', content: text }],
        stream: true,
        stream_options: { include_usage: true },
      }),
      signal: asking.signal,
    });
    id = answer.headers.get('x-pura-request-id');
    if (!answer.ok) return await refused(line, await answer.json(), text);
    const told = await read(answer.body, (piece) => {
      firstAt ??= piece ? performance.now() : null;
      words.textContent += piece;
      if (outputMsat > 0) line.textContent = `about ${sats((words.textContent.length / 4 / 1000) * outputMsat)} so far`;
    });
    said.push({ role: 'user', content: text }, { role: 'assistant', content: words.textContent });
    const { figures, usage } = told;
    if (told.error) line.textContent = told.error.message;
    if (!figures || figures.pending) return await chargeOfStopped(line, figures?.request_id ?? id);
    const parts = [
      figures.funding === 'free' ? 'free' : sats(figures.charged_msat),
      dollars(figures.cost_usd),
      `${count(usage?.completion_tokens)} out, ${count(usage?.prompt_tokens)} in`,
      ...(firstAt ? [`first token ${((firstAt - startedAt) / 1000).toFixed(1)} s`] : []),
      `${figures.model ?? answer.headers.get('x-pura-model') ?? told.model} by ${figures.provider ?? answer.headers.get('x-pura-provider')}`,
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
  const code = element('a', 'qr');
  code.href = error.funding.lightningUrl;
  const image = element('img');
  image.src = `/invoice/${id}/qr.svg`;
  image.alt = `QR code of an invoice of ${count(error.funding.amount)} sats`;
  code.append(image);
  line.after(code, element('p', 'soft', `Pay ${count(error.funding.amount)} sats: the question is asked again by itself.`));
  const link = element('a', 'button small', 'Open the invoice');
  link.href = `/invoice/${id}?from=console`;
  link.target = '_blank';
  code.nextSibling.after(link);
  const events = new EventSource(`/invoice/${id}/events`);
  events.addEventListener('status', (event) => {
    const { status } = JSON.parse(event.data);
    if (status === 'pending') return;
    events.close();
    for (const shown of [code, link]) shown.remove();
    if (status === 'paid') void ask(text);
  });
}

function busy(isAsking) {
  if (!isAsking) asking = null;
  by('send').disabled = isAsking;
  by('stop').hidden = !isAsking;
}

function send() {
  const text = by('message').value.trim();
  if (!text || asking) return;
  by('message').value = '';
  entry('You', text, true);
  void ask(text);
}

/** What this message would cost on four models. */
async function elsewhere() {
  const text = by('message').value.trim();
  if (!text) return void (by('note').textContent = 'Write a message first.');
  const models = [...by('model').options].map(({ value }) => value).filter((value) => value !== 'auto');
  const step = Math.max(1, Math.floor(models.length / 4));
  const four = models.filter((_, index) => index % step === 0).slice(0, 4);
  const rows = await Promise.all(
    four.map(async (model) => {
      const body = JSON.stringify({ model, messages: [...said, { role: 'user', content: text }] });
      const answer = await fetch(`${PATH}/estimate`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      const told = await answer.json();
      return [model, answer.ok ? `about ${sats(told.estimatedCostMsat)} · ${dollars(told.estimatedCostUsd)}` : told.error.message];
    }),
  );
  const list = element('dl', 'facts');
  for (const [model, price] of rows) list.append(element('dt', '', model), element('dd', '', price));
  by('estimates').replaceChildren(list);
  by('note').textContent = 'Asked for free.';
}

by('elsewhere').hidden = by('keys-hint').hidden = false;
by('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
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
by('elsewhere').addEventListener('click', () => void elsewhere());
