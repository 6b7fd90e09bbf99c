// The page of a key's secret: prints its card, and asks before it is left where the key was neither copied, printed nor shown as a code.
let kept = false;
const keep = () => (kept = true);

addEventListener('copied', keep);
for (const code of document.querySelectorAll('#code-text, #code-app')) code.addEventListener('toggle', keep);
const field = document.getElementById('secret');
field.addEventListener('focus', () => field.select());
field.addEventListener('copy', keep);
addEventListener('beforeprint', keep);
const button = document.getElementById('print');
button.hidden = false;
button.addEventListener('click', () => print());
addEventListener('beforeunload', (event) => {
  if (!kept) event.preventDefault();
});
