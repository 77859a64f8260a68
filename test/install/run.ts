import { ensureBinaries } from '../cluster/build.ts'
import { certManager, chartTools, kustomize, prometheusAdapter } from '../cluster/chart/tools.ts'
import { previousRelease } from '../cluster/previous.ts'
import { ensureActionlint } from '../package/actionlint.ts'
import { redis8 } from '../redis/redis8.ts'
import { toxiproxy } from '../redis/toxiproxy.ts'
import { ensurePackage } from '../servers/debian.ts'
import { ensureGhz, ensureGrpcurl } from '../servers/go.ts'
import { ensureSuite } from '../servers/http-cache/suite.ts'
import { ensureOpenai } from '../servers/openai.ts'
import { ensurePrometheus } from '../servers/prometheus.ts'
import { ensureVenv, venvNames } from '../servers/venv.ts'

/**
 * `npm run test:install`: what tests need beside this repository, all of it at once and beforehand; each would install
 * its part itself. Downloads go beside builds. What cannot be had is told, and the tests that want it tell it again.
 */

const packages = [
  ['/usr/bin/chromium', 'chromium'], ['/usr/bin/slowhttptest', 'slowhttptest'], ['/usr/bin/h2load', 'nghttp2-client'],
  ['/usr/sbin/nginx', 'nginx-light'], ['/usr/sbin/varnishd', 'varnish'], ['/usr/sbin/iptables-legacy', 'iptables'],
] as const

const lanes: readonly (readonly (readonly [string, () => unknown])[])[] = [
  [
    ['Redis 8', redis8], ['openai', ensureOpenai], ['http-cache-tests', ensureSuite],
    ...packages.map(([program, name]) => [name, () => ensurePackage(program, name)] as const),
    ['Prometheus', ensurePrometheus],
    ...venvNames.map((name) => [`Python: ${name}`, () => ensureVenv(name)] as const),
  ],
  [['toxiproxy', toxiproxy], ['grpcurl', ensureGrpcurl], ['ghz', ensureGhz], ['actionlint', ensureActionlint], ['the control plane', ensureBinaries], ['what looks at the chart', chartTools], ['kustomize', kustomize], ['cert-manager', certManager], ['prometheus-adapter', prometheusAdapter], ['the release before this one', previousRelease]],
]

await Promise.all(lanes.map(async (lane) => {
  for (const [name, install] of lane) {
    const began = performance.now()
    try {
      await install()
      console.log(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
    } catch (error) {
      console.log(`${name}: ${String(error)}`)
      process.exitCode = 1
    }
  }
}))
