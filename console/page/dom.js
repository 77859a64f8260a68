/**
 * A picture of the page is made anew with each look, and only what differs from the one before is changed: focus, open
 * details and selections stay. Values become text nodes and attributes, never markup.
 *
 * @typedef {Readonly<{ tag: string, key: string | undefined, props: Props, children: readonly Node[] }>} VNode
 * @typedef {string | VNode} Node
 * @typedef {string | number | boolean | null | undefined | ((event: never) => void)} Prop
 * @typedef {Readonly<Record<string, Prop>>} Props
 * @typedef {string | number | VNode | false | null | undefined | readonly Child[]} Child
 */

const svgTags = new Set(['svg', 'path', 'rect', 'line', 'circle', 'title'])

/** Properties of elements; everything else is an attribute. Whoever types is not written over. */
const properties = new Set(['value', 'checked', 'disabled', 'open'])

/** @type {WeakMap<Element, VNode>} */
const drawn = new WeakMap()

/**
 * @param {string} tag
 * @param {Props | null} [props] `on…`: listeners; `key`: tells siblings apart
 * @param {...Child} children
 * @returns {VNode}
 */
export function h(tag, props, ...children) {
  const { key, ...rest } = props ?? {}
  return { tag, key: key === undefined ? undefined : String(key), props: rest, children: [...flat(children)] }
}

/** @param {readonly Child[]} children @returns {Generator<Node>} */
function* flat(children) {
  for (const child of children) {
    if (Array.isArray(child)) yield* flat(child)
    else if (typeof child === 'string' || typeof child === 'number') yield String(child)
    else if (child !== null && child !== undefined && child !== false) yield /** @type {VNode} */ (child)
  }
}

/** @param {Element} parent @param {...Child} children */
export function render(parent, ...children) {
  patchChildren(parent, [...flat(children)])
}

/** @param {Element} parent @param {readonly Node[]} wanted */
function patchChildren(parent, wanted) {
  /** @type {Map<string, Element>} */
  const keyed = new Map()
  for (const child of parent.children) {
    const key = drawn.get(child)?.key
    if (key !== undefined) keyed.set(key, child)
  }
  let at = parent.firstChild
  for (const node of wanted) {
    const place = fits(node, keyed, at) ?? create(node)
    if (place === at) at = at?.nextSibling ?? null
    else parent.insertBefore(place, at)
    if (typeof node === 'string') {
      if (place.nodeValue !== node) place.nodeValue = node
    } else patch(/** @type {Element} */ (place), node)
  }
  while (at !== null) {
    const next = at.nextSibling
    at.remove()
    at = next
  }
}

/**
 * What is there already and can be made into it.
 * @param {Node} node @param {Map<string, Element>} keyed @param {ChildNode | null} at
 */
function fits(node, keyed, at) {
  if (typeof node === 'string') return at instanceof Text ? at : undefined
  if (node.key !== undefined) {
    const found = keyed.get(node.key)
    return found !== undefined && drawn.get(found)?.tag === node.tag ? found : undefined
  }
  if (!(at instanceof Element)) return undefined
  const last = drawn.get(at)
  return last !== undefined && last.key === undefined && last.tag === node.tag ? at : undefined
}

/** @param {Node} node */
function create(node) {
  if (typeof node === 'string') return document.createTextNode(node)
  return svgTags.has(node.tag) ? document.createElementNS('http://www.w3.org/2000/svg', node.tag) : document.createElement(node.tag)
}

/** @param {Element} element @param {VNode} node */
function patch(element, node) {
  const before = drawn.get(element)?.props ?? {}
  drawn.set(element, node)
  for (const name of Object.keys(before)) if (!(name in node.props)) set(element, name, undefined, before[name])
  for (const [name, value] of Object.entries(node.props)) if (before[name] !== value) set(element, name, value, before[name])
  patchChildren(element, node.children)
}

/** @param {Element} element @param {string} name @param {Prop} value @param {Prop} before */
function set(element, name, value, before) {
  if (name.startsWith('on')) {
    const kind = name.slice(2)
    if (typeof before === 'function') element.removeEventListener(kind, /** @type {EventListener} */ (before))
    if (typeof value === 'function') element.addEventListener(kind, /** @type {EventListener} */ (value))
  } else if (properties.has(name)) Reflect.set(element, name, value ?? (name === 'value' ? '' : false))
  else if (value === undefined || value === null || value === false) element.removeAttribute(name)
  else element.setAttribute(name, value === true ? '' : String(value))
}
