// A page whose state is still changing loads itself again.
setTimeout(() => location.reload(), 2000);
