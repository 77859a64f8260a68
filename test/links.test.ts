import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const pages = ['*.md', 'docs/**/*.md', 'examples/**/*.md', 'charts/**/*.md', 'dataplane/**/*.md', 'test/**/*.md', '.github/**/*.md'].flatMap((pattern) => globSync(pattern, { cwd: root }))
const texts = new Map(pages.map((page) => [page, withoutCode(readFileSync(join(root, page), 'utf8'))]))

const published = 'https://github.com/modelroute/modelroute/blob/main/'

/** What looks like a link or a heading there is none. */
function withoutCode(text: string): string {
  return text.replaceAll(/^ *```[^]*?^ *```$/gm, '').replaceAll(/^(?: {4}.*\n)+/gm, '\n')
}

/** Where a heading is found: as GitHub makes the names. */
function anchorsOf(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>()
  return new Set([...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => {
    const name = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').trim().replaceAll(' ', '-')
    const times = seen.get(name) ?? 0
    seen.set(name, times + 1)
    return times === 0 ? name : `${name}-${times}`
  }))
}

const linksOf = (text: string) => [...text.replaceAll(/`[^`\n]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)

test('every link between pages leads to a file and a heading that there are', () => {
  const broken: string[] = []
  const anchors = new Map<string, ReadonlySet<string>>()
  for (const [page, text] of texts) {
    for (const target of linksOf(text)) {
      // A page that is read elsewhere has addresses of what is here.
      const own = target.startsWith(published)
      if (!own && /^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = (own ? target.slice(published.length) : target).split('#')
      const file = own ? path : path === '' ? page : join(dirname(page), decodeURIComponent(path))
      if (!existsSync(join(root, file))) broken.push(`${page}: ${target}`)
      else if (anchor !== undefined && file.endsWith('.md')) {
        const known = anchors.get(file) ?? anchorsOf(texts.get(file) ?? withoutCode(readFileSync(join(root, file), 'utf8')))
        anchors.set(file, known)
        if (!known.has(anchor)) broken.push(`${page}: ${target}`)
      }
    }
  }
  assert.deepEqual(broken, [])
})

test('every page of docs is found by following links from the README', () => {
  const reached = new Set<string>()
  const follow = (page: string) => {
    const text = texts.get(page)
    if (text === undefined || reached.has(page)) return
    reached.add(page)
    for (const target of linksOf(text)) {
      if (/^[a-z]+:/.test(target)) continue
      const file = join(dirname(page), target.split('#')[0] ?? '')
      follow(existsSync(join(root, file)) && statSync(join(root, file)).isDirectory() ? join(file, 'README.md') : file)
    }
  }
  follow('README.md')
  assert.deepEqual(pages.filter((page) => page.startsWith('docs/') && !reached.has(page)), [])
})

test('a file of this repository that a page names is there', () => {
  const missing = [...texts].flatMap(([page, text]) => [...text.matchAll(/`((?:test|bench|cli|controller|dataplane|table|outgoing|console|charts|crds|build|exposition|examples|dashboards)\/[\w./*-]+)`/g)]
    .flatMap(([, path = '']) => (globSync(path, { cwd: root }).length > 0 ? [] : [`${page}: ${path}`])))
  assert.deepEqual(missing, [])
})
