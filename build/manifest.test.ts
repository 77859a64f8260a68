import assert from 'node:assert/strict'
import test from 'node:test'
import { packageManifest, shrinkwrap } from './manifest.ts'

const manifest = {
  name: 'modelroute', version: '1.2.3', license: 'Apache-2.0', private: true, type: 'module', engines: { node: '>=24' },
  bin: { modelroute: 'cli/modelroute.js' }, scripts: { test: 'x' }, dependencies: { yaml: '^2' }, devDependencies: { knip: '^6' }, overrides: { a: '1' },
}

test('what is published says nothing of development, and can be published', () => {
  const published = packageManifest(manifest, ['cli'])
  assert.deepEqual(Object.keys(published).sort(), [
    'bin', 'dependencies', 'engines', 'exports', 'files', 'license', 'name', 'publishConfig', 'type', 'version',
  ])
})

test('what comes with the package is pinned, nested versions too, and nothing that only development brings', () => {
  const packages = {
    '': { devDependencies: manifest.devDependencies },
    'node_modules/yaml': { version: '2.9.1', dependencies: { a: '^1' }, peerDependencies: { typescript: '>=5', b: '^1' }, peerDependenciesMeta: { typescript: { optional: true } } },
    'node_modules/yaml/node_modules/a': { version: '1.0.0', dependencies: { b: '^1' }, optionalDependencies: { c: '^1', elsewhere: '^1' } },
    'node_modules/a': { version: '2.0.0' },
    'node_modules/b': { version: '1.0.0', dependencies: { yaml: '^2' } },
    'node_modules/c': { version: '1.0.0' },
    'node_modules/knip': { version: '6.1.0', dev: true },
    'node_modules/typescript': { version: '7.0.2', devOptional: true },
  }
  const wrapped = shrinkwrap({ packages, lockfileVersion: 3 } as Parameters<typeof shrinkwrap>[0], manifest) as { lockfileVersion: number; packages: Record<string, unknown> }
  assert.equal(wrapped.lockfileVersion, 3)
  assert.deepEqual(wrapped.packages[''], { name: 'modelroute', version: '1.2.3', license: 'Apache-2.0', dependencies: { yaml: '^2' }, bin: manifest.bin, engines: manifest.engines })
  assert.deepEqual(Object.keys(wrapped.packages).slice(1), ['node_modules/yaml', 'node_modules/yaml/node_modules/a', 'node_modules/b', 'node_modules/c'])
})
