import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Command, commands } from './commands.ts'
import { flags, flagsOf, variableOf } from './flags.ts'
import { helpOf, overview } from './help.ts'
import { readOptions } from './options.ts'
import { parseDuration, parseValue } from './values.ts'

function usageOf(command: Command, words: readonly string[], env = {}): string {
  const options = readOptions(command, words, env)
  assert.ok('usage' in options, `${words.join(' ')} was accepted`)
  return options.usage.join('\n')
}

function read<C extends Command>(command: C, words: readonly string[], env = {}) {
  const options = readOptions(command, words, env)
  assert.ok(!('usage' in options), 'usage' in options ? options.usage.join('\n') : '')
  return options
}

describe('options', () => {
  it('have the defaults of the contract', () => {
    assert.deepEqual(read('serve', ['-f', 'x']), {
      filename: ['x'],
      host: '0.0.0.0',
      httpPort: 8080,
      httpsPort: 8443,
      adminHost: '127.0.0.1',
      adminPort: 9901,
      controlPort: 9903,
      consoleActions: false,
      consoleHost: [],
      allowUrl: [],
      auditHeader: [],
      auditParameter: [],
      trustedHops: [],
      maxConnections: 10_000,
      maxConnectionsPerAddress: 5000,
      workers: 1,
      drainDelay: 0,
      drainTimeout: 10_000,
      audit: 'stdout',
      ledger: 'stdout',
      portal: false,
      logLevel: 'info',
    })
    assert.deepEqual(read('dataplane', ['--controller', 'https://c:9902']), {
      host: '0.0.0.0',
      httpPort: 8080,
      adminHost: '127.0.0.1',
      adminPort: 9901,
      healthPort: 9904,
      controller: ['https://c:9902'],
      gateway: 'default',
      insecure: false,
      auditHeader: [],
      auditParameter: [],
      trustedHops: [],
      maxConnections: 10_000,
      maxConnectionsPerAddress: 5000,
      workers: 1,
      drainDelay: 5000,
      drainTimeout: 60_000,
      audit: 'stdout',
      ledger: 'stdout',
      portal: false,
      logLevel: 'info',
    })
    assert.deepEqual(read('controller', []), {
      filename: [],
      host: '127.0.0.1',
      pushPort: 9902,
      controlPort: 9903,
      consoleActions: false,
      consoleHost: [],
      insecure: false,
      allowUrl: [],
      logLevel: 'info',
      namespace: [],
      secretNamespace: [],
      sidecarNamespace: [],
      leaderElect: true,
      hostnameBinding: [],
      allowUnmanagedEndpointslices: false,
    })
    assert.equal(read('start', []).host, '127.0.0.1')
    assert.deepEqual(read('check', ['-f', '-']), { filename: ['-'], output: 'text', allowUrl: [] })
  })

  it('bind hostnames to namespaces', () => {
    const words = ['--hostname-binding', 'Models.example.com=ml', '--hostname-binding', '*.shop.example=b', '--hostname-binding', '*=c']
    assert.equal(read('controller', words).hostnameBinding.length, 3)
    for (const wrong of ['ml', 'a.b=', '=ml', 'a=b=c', 'a.*.b=ml', 'https://a=ml', '**=ml', 'a=M_L']) {
      assert.match(usageOf('controller', ['--hostname-binding', wrong]), /must be HOST=NAMESPACE/)
    }
  })

  it('of the console say where its token is', () => {
    assert.match(usageOf('serve', ['-f', 'a', '--console-actions']), /needs --state-dir DIR.*or --console-token-file/)
    assert.match(usageOf('controller', ['--console-actions', '--console-token-file', 'x']), /goes with -f/)
    assert.match(usageOf('serve', ['-f', 'a', '--console-token-file', 'x']), /goes with --console-actions/)
    assert.match(usageOf('rollout', ['status', 'fraud', '--token-file', 'x']), /goes with --control/)
    assert.equal(read('controller', ['--console-actions']).consoleActions, true)
    assert.equal(read('serve', ['-f', 'a', '--console-actions', '--state-dir', 's']).consoleActions, true)
  })

  it('repeat where they are lists', () => {
    const words = ['-f', 'a', '--filename=b', '-fc', '--allow-url', 'x', '--allow-url=*.y:8443']
    const { filename, allowUrl } = read('serve', words)
    assert.deepEqual([filename, allowUrl], [['a', 'b', 'c'], ['x', '*.y:8443']])
    assert.match(usageOf('serve', ['-f', 'a', '--http-port', '1', '--http-port', '2']), /--http-port is given 2 times/)
  })

  it('come from the environment, separated by commas, and flags win', () => {
    const env = { MODELROUTE_FILENAME: 'a, b,', MODELROUTE_HTTP_PORT: '81', MODELROUTE_ADMIN_PORT: '', OTHER: '1' }
    const options = read('serve', [], env)
    assert.deepEqual([options.filename, options.httpPort, options.adminPort], [['a', 'b'], 81, 9901])
    const over = read('serve', ['-f', 'c', '--http-port=82'], env)
    assert.deepEqual([over.filename, over.httpPort], [['c'], 82])
    assert.equal(read('controller', [], { MODELROUTE_LEADER_ELECT: 'false' }).leaderElect, false)
    assert.match(usageOf('serve', ['-f', 'a'], { MODELROUTE_LOG_LEVEL: 'loud' }), /MODELROUTE_LOG_LEVEL must be one of/)
  })

  it('say what Kubernetes put into the environment for a Service', () => {
    const usage = usageOf('serve', ['-f', 'a'], { MODELROUTE_HTTP_PORT: 'tcp://10.96.0.12:80' })
    assert.match(usage, /MODELROUTE_HTTP_PORT must be a port.*enableServiceLinks: false/)
  })

  it('that are switches take no word after them', () => {
    assert.equal(read('controller', ['--leader-elect=false']).leaderElect, false)
    assert.equal(read('controller', ['--insecure']).insecure, true)
    assert.match(usageOf('controller', ['--insecure', 'false']), /unexpected argument false/)
    assert.match(usageOf('controller', ['--insecure=no']), /--insecure must be true or false, not "no"/)
  })

  const wrong: readonly [Command, string, RegExp][] = [
    ['serve', '', /-f PATH is required/],
    ['check', '', /-f PATH is required/],
    ['check', 'manifests', /unexpected argument manifests; did you mean -f manifests\?/],
    ['dataplane', '', /--controller URL is required/],
    ['dataplane', '--controller controller:9902', /must be https:\/\/HOST:PORT/],
    ['dataplane', '--controller http://c/x', /must be https:\/\/HOST:PORT/],
    ['dataplane', '--controller https://c --tls-cert a', /--tls-cert and --tls-key go together/],
    ['controller', '--tls-key a', /--tls-cert and --tls-key go together/],
    ['controller', '--client-ca a', /--client-ca needs --tls-cert/],
    ['controller', '-f a --namespace b', /--namespace has no meaning with -f/],
    ['serve', '-f a --htp-port 1', /^unknown flag --htp-port; did you mean --http-port\? \(modelroute serve --help\)$/],
    ['serve', '-f a --nonsense', /^unknown flag --nonsense \(modelroute/],
    ['serve', '-f a -x', /unknown flag -x/],
    ['serve', '-f', /-f needs a value: -f PATH/],
    ['serve', '-f --http-port 1', /-f needs a value/],
    ['serve', '-f a --http-port', /--http-port needs a value: --http-port PORT/],
    ['serve', '-f a --http-port 65536', /must be a port/],
    ['serve', '-f a --http-port 80a', /must be a port/],
    ['serve', '-f a --drain-delay 5', /must be a duration such as/],
    ['serve', '-f a --log-level trace', /must be one of debug, info, warn, error/],
    ['serve', '-f a --allow-url https://x', /without https/],
    ['serve', '-f a --host=', /must not be empty/],
    ['serve', '-f a --push-port 1', /unknown flag --push-port/],
    ['serve', '-f a --redis https://bob:secret@x', /^--redis must be redis:\/\/(?!.*secret)/],
    ['serve', '-f a --tls-cert c', /--tls-cert and --tls-key go together/],
    ['serve', '-f a --client-ca c', /--client-ca needs --tls-cert/],
    ['serve', '-f a --trusted-hops 10.0.0.0/33', /--trusted-hops must be a network such as/],
    ['serve', '-f a --max-connections 0', /must be a whole number from 1/],
    ['check', '-f a -o yaml', /-o must be one of text, json/],
  ]
  for (const [command, line, message] of wrong) {
    it(`refuse: ${command} ${line}`, () => {
      assert.match(usageOf(command, line.split(' ').filter((word) => word !== '')), message)
    })
  }

  it('make certificates for a cluster only, and for a name that can be dialled', () => {
    const host = 'modelroute-controller.modelroute.svc'
    assert.equal(read('controller', ['--self-certificates', host]).selfCertificates, host)
    assert.equal(read('controller', [], { MODELROUTE_SELF_CERTIFICATES: host }).selfCertificates, host)
    const overFiles = usageOf('controller', ['-f', 'x', '--self-certificates', host])
    assert.match(overFiles, /--self-certificates has no meaning with -f/)
    for (const more of [['--tls-cert', 'c', '--tls-key', 'k'], ['--insecure']]) {
      const refused = usageOf('controller', ['--self-certificates', host, ...more])
      assert.match(refused, new RegExp(`--self-certificates and ${more[0]} exclude each other`))
    }
    const long = `${'a'.repeat(64)}.svc`
    for (const bad of ['10.0.0.1', 'Controller.svc', 'https://controller', 'a..b', '-a', 'controller:9902', long]) {
      assert.match(usageOf('controller', [`--self-certificates=${bad}`]), /must be a DNS name/)
    }
  })
})

describe('values', () => {
  it('durations are Gateway API durations', () => {
    const known = { '0s': 0, '250ms': 250, '5s': 5000, '1h30m': 5_400_000, '10m10s5ms': 610_005 }
    for (const [text, milliseconds] of Object.entries(known)) assert.equal(parseDuration(text), milliseconds)
    const none = ['', '5', '-5s', '1.5s', '5 s', '5d', '123456s', '1h1h1h1h1h']
    for (const text of none) assert.equal(parseDuration(text), undefined)
  })

  it('every default reads as its type', () => {
    for (const flag of flags) {
      for (const fallback of Object.values(flag.of)) {
        if (fallback !== null) assert.ok('value' in parseValue(flag, fallback), `${flag.name} ${fallback}`)
      }
    }
  })
})

describe('help', () => {
  for (const command of Object.keys(commands) as Command[]) {
    it(`of ${command} names every flag, its default and its variable`, () => {
      const help = helpOf(command)
      for (const flag of flagsOf(command)) {
        const [, entry = ''] = new RegExp(`^ {2}.*--${flag.name}( .*)?\n(.*)`, 'm').exec(help)?.slice(1) ?? []
        assert.ok(entry.includes(variableOf(flag)), `--${flag.name}: ${entry}`)
        const fallback = flag.of[command]
        if (typeof fallback === 'string') assert.ok(entry.includes(`default ${fallback}`), `--${flag.name}: ${entry}`)
      }
      assert.match(overview(), new RegExp(`^ {2}${command} `, 'm'))
    })
  }
})
