// The overview, live: what can be spent, and money that comes in, without a reload. Everything is there without it, too.

const QUIET_MS = 10_000;
const LATER_MS = 30_000;
const heading = document.querySelector('h1');
const said = document.createElement('p');
said.className = 'live';
said.setAttribute('role', 'status');
heading.after(said);

const sats = (count) => `${count.toLocaleString('en-US')} ${count === 1 ? 'sat' : 'sats'}`;
let arrived = 0;
let news = '';
let saying;
let reading;

/** One sentence in ten seconds at most: what came meanwhile is told together. */
function tell() {
  if (saying) return;
  const text = [arrived > 0 ? `${sats(arrived)} arrived.` : '', news].filter(Boolean).join(' ');
  if (text === '') return;
  said.textContent = text;
  arrived = 0;
  news = '';
  saying = setTimeout(() => {
    saying = undefined;
    tell();
  }, QUIET_MS);
}

/** Puts the page's own figures in anew: they are the server's, in its words. What has the focus stays. */
async function renew() {
  clearTimeout(reading);
  reading = undefined;
  const answer = await fetch(location.href, { redirect: 'error' }).catch(() => undefined);
  if (!answer?.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of ['#corner', '#available', '.tiles']) {
    const [old, fresh] = [document.querySelector(part), next.querySelector(part)];
    if (old && fresh && !old.contains(document.activeElement)) old.replaceChildren(...fresh.cloneNode(true).childNodes);
  }
  document.dispatchEvent(new Event('renewed'));
}

let isFirst = true;
const events = new EventSource('/console/events');
events.addEventListener('balance', (event) => {
  document.getElementById('corner').textContent = sats(JSON.parse(event.data).availableSats);
  // Each answer moves the balance a little: the page is not asked for each.
  if (!isFirst) reading ??= setTimeout(() => void renew(), LATER_MS);
  isFirst = false;
  document.documentElement.dataset.live = '';
});
events.addEventListener('invoice', (event) => {
  arrived += JSON.parse(event.data).receivedSats;
  tell();
  void renew();
});
events.addEventListener('withdrawal', (event) => {
  const { status } = JSON.parse(event.data);
  news = { pending: 'A withdrawal is under way.', paid: 'A withdrawal was paid.', failed: 'A withdrawal failed: its sats are back.' }[
    status
  ];
  tell();
  void renew();
});
events.addEventListener('autopay', (event) => {
  const { state } = JSON.parse(event.data);
  news = state === 'on' ? 'Autopay is on.' : state === null ? 'Autopay was removed.' : 'Autopay has stopped.';
  tell();
});
// Without this, a browser keeps the stream of a page that is left for the back button.
addEventListener('pagehide', () => events.close());
addEventListener('pageshow', (event) => event.persisted && location.reload());
