// What every page of the frame has: times as the reader's clock tells them, copy buttons, and the focus on what went wrong.
// Everything works without it.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** Turns the server's UTC into local time, within `root`; the UTC stays in the title. */
function localTimes(root = document) {
  for (const element of root.querySelectorAll('time[datetime]:not([data-local])')) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime()) || /^\d{4}-\d\d-\d\d$/.test(element.textContent)) continue;
    element.title = element.textContent;
    element.dataset.local = '';
    element.textContent = at.toDateString() === new Date().toDateString() ? `today ${clock.format(at)}` : full.format(at);
  }
}

/** A button `<button data-copy="id of the text" hidden>` copies the value or text of that element. */
function copyButtons() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll('button[data-copy]')) {
    const said = document.createElement('span');
    said.className = 'copied';
    said.setAttribute('role', 'status');
    button.after(said);
    button.hidden = false;
    const copied = () => {
      said.textContent = 'Copied';
      button.dispatchEvent(new CustomEvent('copied', { bubbles: true }));
    };
    const failed = () => (said.textContent = 'Not copied: select it and copy');
    button.addEventListener('click', () => {
      const source = document.getElementById(button.dataset.copy);
      navigator.clipboard.writeText(source.value ?? source.textContent.trim()).then(copied, failed);
    });
  }
}

/** A button `<button data-reveal="id of the field" hidden>` shows what was typed into a field that hides it, and hides it again. */
function revealButtons() {
  for (const button of document.querySelectorAll('button[data-reveal]')) {
    const field = document.getElementById(button.dataset.reveal);
    button.hidden = false;
    button.addEventListener('click', () => {
      const isShown = field.type === 'text';
      field.type = isShown ? 'password' : 'text';
      button.setAttribute('aria-pressed', String(!isShown));
    });
    // A browser keeps as a password only what is hidden when it is sent.
    field.form?.addEventListener('submit', () => (field.type = 'password'));
  }
}

/** On a phone the menu is a strip: the section that is open is brought into sight, and nothing else moves. */
function showSection() {
  const current = document.querySelector('.menu [aria-current]');
  const strip = current?.closest('ul');
  if (strip) strip.scrollLeft = current.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
}

// A page's own script says so where it has put something new in.
document.addEventListener('renewed', () => localTimes());
localTimes();
copyButtons();
revealButtons();
showSection();
document.querySelector('[data-focus]')?.focus();
