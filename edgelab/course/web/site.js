// The theme leaves the sidebar without a landmark.
document.addEventListener('DOMContentLoaded', () => {
  const sidebar = document.querySelector('.bd-sidebar-primary');
  if (sidebar) { sidebar.setAttribute('role', 'navigation'); sidebar.setAttribute('aria-label', 'Course'); }
});
