// The page with a code to withdraw: goes on by itself once a wallet has used it. The link does the same without.
const EVERY_MS = 1500;
/** Longer than a code is good. The server's word on that comes first: clocks differ. */
const MOST_MS = 330_000;
const said = document.getElementById('state');

/** Resolves to whether to look again. */
async function look() {
  const answer = await fetch('/console/withdraw/code', { headers: { accept: 'application/json' }, redirect: 'error' });
  if (answer.status === 401 || answer.status === 403) {
    said.textContent = 'You are signed out: whether a wallet has used the code is told once you have signed in again.';
    return false;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const { state, href } = await answer.json();
  if (href) location.assign(href);
  else if (state === 'expired') said.textContent = 'The code is not valid any more, and nothing was paid.';
  else return true;
  return false;
}

function lookAgain() {
  setTimeout(async () => {
    const more = await look().catch(() => true);
    if (more && performance.now() > MOST_MS) said.textContent = 'The gateway does not answer. Press “I have scanned it” to look again.';
    else if (more) lookAgain();
  }, EVERY_MS);
}
lookAgain();
