import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { route, rule } from '../../test/dataplane/table.ts'
import { Caches } from '../cache/caches.ts'
import { createLimiter } from '../limits/create.ts'
import { Mirrors } from '../mirror/mirrors.ts'
import { refuseAll } from '../pipeline/principal.ts'
import { unaudited } from '../telemetry/audit.ts'
import { LimitTally } from '../telemetry/limits.ts'
import { noPlugins } from '../plugins/plugins.ts'
import { Measurements } from '../telemetry/measurements.ts'
import { Vault } from '../vault.ts'
import { noTokens } from './backend_credentials/tokens.ts'
import { Predictions } from '../predictions/predictions.ts'
import { BodyChecks } from '../validation/body_checks.ts'
import { filters } from './index.ts'
import { requestIdOf } from './request_id/request_id.ts'

const deps = { authenticators: refuseAll, audit: unaudited, limiter: createLimiter(), limitTally: new LimitTally(), measurements: new Measurements(), mirrors: new Mirrors(), predictions: new Predictions(), caches: new Caches(), plugins: noPlugins(), bodyChecks: new BodyChecks(), vault: new Vault(), backendTokens: noTokens, call: () => Promise.reject(new Error('nobody is called')) }

test('each filter has a folder with its README, and builds a named function', () => {
  for (const filter of filters) {
    assert.ok(existsSync(new URL(`${filter.name}/README.md`, import.meta.url)), filter.name)
    assert.notEqual(filter.build({ route: route(), rule: rule() }, deps)?.name, '')
  }
})

test('a request id is kept only where it is safe to log and to send back', () => {
  for (const kept of ['a', 'r-1', 'A9._~:+/=@-', 'x'.repeat(128)]) assert.equal(requestIdOf(kept), kept)
  for (const made of [undefined, '', 'x'.repeat(129), 'a b', 'a"b', 'a\nb', 'a,b', '{}', 'ä', '$(x)']) {
    assert.match(requestIdOf(made), /^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  }
})
