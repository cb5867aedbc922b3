// The theme leaves the sidebar without a landmark.
document.addEventListener('DOMContentLoaded', () => {
  const sidebar = document.querySelector('.bd-sidebar-primary');
  if (sidebar) { sidebar.setAttribute('role', 'navigation'); sidebar.setAttribute('aria-label', 'Course'); }
});

// What goes deeper is folded, as in JupyterLab; a link into it opens it, and so does printing.
document.addEventListener('DOMContentLoaded', () => {
  for (const mark of document.querySelectorAll('.deeper-part')) {
    const section = mark.closest('section'), folded = document.createElement('details');
    const title = document.createElement('summary'), heading = section.firstElementChild;
    title.textContent = 'Show this part';
    folded.className = 'deeper';
    folded.append(title, ...[...section.childNodes].filter(node => node !== heading));
    section.append(folded);
  }
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const inside = target.querySelector(':scope > details.deeper');
    if (inside) inside.open = true;
    for (let part = target.closest('details'); part; part = part.parentElement.closest('details')) part.open = true;
    target.scrollIntoView();
  };
  addEventListener('hashchange', open);
  open();
});
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(part => { part.open = true; }));
