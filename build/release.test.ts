import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { disagreements, notesOf, withImage, withLinks } from './release.ts'

const changelog = `# Changelog

## [Unreleased]

- Not yet.

## [1.2.3] - 2026-11-22

### Added

- This, [as told](docs/x.md).

## [1.2.3-rc.1]

- That.

[1.2.3]: https://example.com/compare
`
const stated = {
  tag: 'v1.2.3', changelog, repository: 'modelroute/modelroute',
  manifest: { version: '1.2.3', repository: { url: 'git+https://github.com/modelroute/modelroute.git' } },
  chart: { version: '1.2.3', appVersion: '1.2.3' },
}

test('the notes of a release are its section of the changelog, and no other', () => {
  assert.equal(notesOf(changelog, '1.2.3'), '### Added\n\n- This, [as told](docs/x.md).')
  assert.equal(notesOf(changelog, '1.2.3-rc.1'), '- That.')
  assert.equal(notesOf(changelog, '1.2'), '')
})

test('links of the notes lead to what the release has, from a page that is elsewhere', () => {
  const told = (text: string) => withLinks(text, stated.manifest.repository.url, 'v1.2.3')
  assert.equal(told(notesOf(changelog, '1.2.3')), '### Added\n\n- This, [as told](https://github.com/modelroute/modelroute/blob/v1.2.3/docs/x.md).')
  assert.equal(told('[a](https://example.com/a) and [b](docs/b.md#c)'), '[a](https://example.com/a) and [b](https://github.com/modelroute/modelroute/blob/v1.2.3/docs/b.md#c)')
})

test('a release is made where tag, package, chart, changelog and repository agree', () => {
  assert.deepEqual(disagreements(stated), [])
  assert.deepEqual(disagreements({ ...stated, repository: undefined }), [])
})

test('each disagreement is told', () => {
  const about = (change: object) => disagreements({ ...stated, ...change })
  assert.deepEqual(about({ tag: 'v1.2.4' }), ['package.json has version 1.2.3, and the tag is v1.2.4'])
  assert.deepEqual(about({ chart: { version: '1.2.2', appVersion: '1.2.1' } }), [
    'the chart has version 1.2.2, and package.json 1.2.3', 'the chart installs 1.2.1, and package.json has version 1.2.3',
  ])
  assert.deepEqual(about({ changelog: changelog.replace('[1.2.3] ', '[Soon] ') }), ['CHANGELOG.md says nothing of 1.2.3'])
  assert.deepEqual(about({ repository: 'somebody/fork' }).length, 1)
  // What is put into commands must be nothing else than a version.
  assert.deepEqual(about({ tag: 'v1.2.3; rm -rf .' }), ['v1.2.3; rm -rf . is no tag of a release, such as v1.2.3'])
})

test('the released chart installs the image that was built for it, and is otherwise the one that was tested', () => {
  const values = readFileSync(join(import.meta.dirname, '../charts/modelroute/values.yaml'), 'utf8')
  const digest = `sha256:${'0'.repeat(64)}`
  const changed = withImage(values, 'ghcr.io/modelroute/modelroute', digest)
  const [before, after] = [parse(values), parse(changed)] as [{ image: object }, { image: object }]
  assert.deepEqual(after, { ...before, image: { ...before.image, repository: 'ghcr.io/modelroute/modelroute', digest } })
  const comments = (text: string) => text.split('\n').filter((line) => /^\s*#/.test(line)).length
  assert.equal(comments(changed), comments(values))
  assert.throws(() => withImage(values, 'ghcr.io/modelroute/modelroute', ''), /no digest/)
})
