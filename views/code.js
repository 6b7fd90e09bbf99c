// A page with a code for a wallet: goes on by itself once the wallet has signed. The button does the same without.
const code = document.querySelector('[data-code]');
const form = document.getElementById('claim');
if (code && form) {
  const events = new EventSource(`/console/sign-in/wallet/events?action=${code.dataset.code}`);
  events.addEventListener('signed', () => {
    events.close();
    document.getElementById('signed').textContent = 'Your wallet has confirmed.';
    form.requestSubmit();
  });
}
