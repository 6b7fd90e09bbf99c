// The page with a code to withdraw: goes on by itself once a wallet has used it. The link does the same without.
const until = new Date(document.querySelector('[data-until]')?.dataset.until ?? 0);
const said = document.getElementById('state');

async function look() {
  const answer = await fetch('/console/withdraw/code', { headers: { accept: 'application/json' } });
  const { state, href } = answer.ok ? await answer.json() : {};
  if (href) location.assign(href);
  else if (state === 'expired' || Date.now() > until.getTime()) said.textContent = 'The code is not valid any more, and nothing was paid.';
  else return true;
  return false;
}

function lookAgain() {
  setTimeout(() => {
    look().then(
      (more) => more && lookAgain(),
      () => lookAgain(),
    );
  }, 1500);
}
lookAgain();
