import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { metricsPage } from '../build/metrics-page.ts'

const root = join(import.meta.dirname, '..')
const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')

test('docs/metrics.md has every metric as it is, name, type, labels and meaning: npm run generate', async () => {
  assert.equal(page('metrics.md'), await metricsPage())
})

test('the runbooks ask for metrics that there are', () => {
  const known = page('metrics.md')
  for (const [, pattern = ''] of page('alerts.md').matchAll(/grep (?:-E |-c )?['"]\^([^'"\n]+)/g)) {
    const names = pattern.replace(/\.\*.*$|\\.*$/, '').replace(/^\((.*)\)$/, '$1')
    const [, head = '', parts = '', tail = ''] = /^([a-z_]*)\(([^)]*)\)(.*)$/.exec(pattern) ?? [undefined, names, '']
    for (const part of parts.split('|')) {
      const name = `${head}${part}${tail}`.replace(/_(sum|count|bucket)$/, '')
      assert.ok(known.includes(`\`${name}`), `${name} of ${pattern}`)
    }
  }
})

type Rules = { groups: { rules: { alert: string; labels: { severity: string }; annotations: Record<string, string> }[] }[] }

test('every alert has a severity, a summary, and a runbook in docs/alerts.md that its link leads to', () => {
  const rules = (parse(readFileSync(join(root, 'charts/modelroute/rules/modelroute.rules.yaml'), 'utf8')) as Rules).groups.flatMap((group) => group.rules)
  const headings = [...page('alerts.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name ?? '')
  assert.deepEqual(headings, rules.map(({ alert }) => alert))
  const sections = page('alerts.md').split(/^## /m).slice(2)
  for (const [at, { alert, labels, annotations }] of rules.entries()) {
    assert.match(sections[at] ?? '', /^\w+\n\n\*\*Means\.\*\* [^]+\n\*\*Impact\.\*\* [^]+\n\*\*Look\.\*\*\n\n```bash\n[^]+\n\*\*Do\.\*\* /, alert)
    assert.match(labels.severity, /^(critical|warning|info)$/, alert)
    assert.ok((annotations['summary'] ?? '').length > 20, alert)
    assert.equal(annotations['runbook_url'], `docs/alerts.md#${alert.toLowerCase()}`)
  }
})
