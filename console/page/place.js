/**
 * What is looked at: it stands in the address, so that it can be kept and handed on.
 * @typedef {Readonly<{ view: string, search: string, sort: string, offset: number }>} Place
 */

/** @type {() => void} */
let drawn = () => {}
/** @type {(elsewhere: boolean) => void} */
let moved = () => {}

const sorts = new Map([['endpoints', 'errors'], ['table', 'name'], ['rollouts', 'name']])

/** @returns {Place} */
export function current() {
  const [view = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const given = new URLSearchParams(query)
  const name = view === '' || view === 'main' ? 'traffic' : view
  const offset = Number(given.get('offset') ?? 0)
  return {
    view: name, search: given.get('search') ?? '', sort: given.get('sort') ?? sorts.get(name) ?? 'requests',
    offset: Number.isSafeInteger(offset) && offset >= 0 ? offset : 0,
  }
}

/** @param {Partial<Place>} to what is left out stays, but a list begins at its beginning */
export function go(to) {
  const { view, search, sort, offset } = { ...current(), offset: 0, ...to }
  const query = new URLSearchParams()
  if (search !== '') query.set('search', search)
  if (sort !== (sorts.get(view) ?? 'requests')) query.set('sort', sort)
  if (offset > 0) query.set('offset', String(offset))
  const text = String(query)
  history.replaceState(null, '', `#/${view}${text === '' ? '' : `?${text}`}`)
  moved(false)
}

/** Something was chosen or typed that the page shows, and no server is asked. */
export const redraw = () => drawn()

/** @param {(elsewhere: boolean) => void} listener @param {() => void} draw */
export function onMove(listener, draw) {
  drawn = draw
  moved = listener
  addEventListener('hashchange', () => {
    // The skip link leads to the content, and nowhere else.
    if (location.hash === '#main') history.replaceState(null, '', '#/traffic')
    listener(true)
  })
}
