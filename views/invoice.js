// The live part of the invoice page: turns it to "Paid" by itself, counts down, copies, and pays with a browser's wallet.
// Everything else works without it.
const page = document.body;
const by = (id) => document.getElementById(id);
const SAID = {
  pending: 'Waiting for payment',
  paid: 'Paid ✓',
  expired: 'This invoice has expired',
  canceled: 'This invoice was canceled',
};
const status = () => page.dataset.status;
const bolt11 = by('bolt11').value;

function show(next, receivedSats) {
  if (receivedSats !== null && receivedSats !== undefined) by('received').textContent = receivedSats.toLocaleString('en-US');
  if (status() === next || status() === 'paid') return;
  page.dataset.status = next;
  by('status').textContent = SAID[next];
  document.title = `${SAID[next]} · Pura`;
}

function follow() {
  const events = new EventSource(`${location.pathname}/events`);
  events.addEventListener('status', (event) => {
    const { status: next, receivedSats } = JSON.parse(event.data);
    show(next, receivedSats);
    if (next === 'paid') events.close();
  });
}

// Counted on this page's own clock: that of the device may be wrong.
const endsAt = performance.now() + Number(page.dataset.secondsLeft) * 1000;

function countDown() {
  const seconds = Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const two = (value) => String(value).padStart(2, '0');
  by('left').textContent = hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
  by('left').parentElement.classList.toggle('soon', seconds <= Number(page.dataset.lastSeconds));
  if (seconds === 0 && status() === 'pending') show('expired');
  if (status() === 'pending') setTimeout(countDown, 500);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(bolt11);
  } catch {
    // No clipboard without https or permission: the old way needs the text selected.
    by('bolt11').select();
    document.execCommand('copy');
  }
  by('copy').textContent = 'Copied ✓';
  by('note').textContent = 'The invoice is on the clipboard.';
  setTimeout(() => {
    by('copy').textContent = 'Copy invoice';
    by('note').textContent = '';
  }, 2500);
}

function offerWebln() {
  if (typeof window.webln?.sendPayment === 'function') by('pay-webln').hidden = false;
}

async function payWithWebln() {
  by('pay-webln').disabled = true;
  by('note').textContent = 'Confirm the payment in your wallet.';
  try {
    await window.webln.enable();
    await window.webln.sendPayment(bolt11);
    by('note').textContent = 'Sent. Waiting for it to arrive.';
  } catch {
    by('note').textContent = 'The wallet did not pay. You can try again, or scan the code.';
  } finally {
    by('pay-webln').disabled = false;
  }
}

by('copy').hidden = false;
by('copy').addEventListener('click', () => void copy());
by('bolt11').addEventListener('focus', () => by('bolt11').select());
by('pay-webln').addEventListener('click', () => void payWithWebln());
window.addEventListener('webln:ready', offerWebln);
window.addEventListener('load', offerWebln);
offerWebln();
if (status() === 'pending') countDown();
if (status() !== 'paid') follow();
