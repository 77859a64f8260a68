// Before anything is drawn, so that nothing flashes in the other theme.
try {
  const chosen = localStorage.getItem('modelroute-theme')
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset['theme'] = chosen
} catch {
  // Storage may be closed to this page: then it looks as the system does.
}
