// The status page: its figures anew every half a minute, while somebody looks. Without script, the link does the same.
const EVERY_MS = 30_000;
const said = document.getElementById('refreshed');

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, { signal: AbortSignal.timeout(EVERY_MS / 2) });
    if (!answer.ok) throw new Error(String(answer.status));
    show(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  } catch {
    said.textContent = 'Not refreshed: the gateway does not answer.';
  }
}

function show(next) {
  const before = document.title;
  for (const part of document.querySelectorAll('[data-live]')) {
    const fresh = next.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!fresh) continue;
    part.className = fresh.className;
    part.replaceChildren(...fresh.childNodes);
  }
  document.title = next.title;
  document.dispatchEvent(new Event('renewed'));
  // Told to who hears the page only where the sentence on top has changed.
  said.textContent = next.title === before ? '' : document.querySelector('h1').lastChild.textContent.trim();
}

setInterval(() => void refresh(), EVERY_MS);
document.addEventListener('visibilitychange', () => void refresh());
