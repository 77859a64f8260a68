import { startController, type HostnameBinding } from '../controller/main.ts'
import { boundOld, boundYoung, collectGarbage } from '../dataplane/garbage.ts'
import { createLog } from '../dataplane/telemetry/log.ts'
import type { Options } from './flags.ts'
import { untilEnd } from './lifetime.ts'

/** Checked when the options were read. */
function bindingOf(text: string): HostnameBinding {
  const [host = '', namespace = ''] = text.toLowerCase().split('=')
  return { host, namespace }
}

/** The controller, in a cluster or over files. */
export async function controller(options: Options<'controller'>): Promise<number> {
  const { host, filename, tlsCert, tlsKey, clientCa } = options
  const log = createLog({ level: options.logLevel })
  const running = await startController({
    source: filename.length > 0
      ? { files: filename, stateDir: options.stateDir }
      : {
          cluster: {
            kubeconfig: options.kubeconfig,
            namespaces: options.namespace,
            secretNamespaces: options.secretNamespace,
            leaderElect: options.leaderElect,
            leaseNamespace: options.leaseNamespace,
            selfCertificates: options.selfCertificates,
            sidecars: options.sidecarNamespace,
          },
        },
    push: {
      host,
      port: options.pushPort,
      tls: tlsCert !== undefined && tlsKey !== undefined ? { cert: tlsCert, key: tlsKey, clientCa } : undefined,
      insecure: options.insecure,
      sidecars: options.sidecarNamespace,
    },
    control: { host, port: options.controlPort },
    actions: options.consoleActions ? { tokenFile: options.consoleTokenFile } : undefined,
    consoleHosts: options.consoleHost,
    allowUrls: options.allowUrl,
    hostnameBindings: options.hostnameBinding.map(bindingOf),
    allowUnmanagedEndpointSlices: options.allowUnmanagedEndpointslices,
    pepper: options.pepper,
    log: (level, message, fields) => log.write(level, message, fields),
    listening: (name, url) => log.announce('listening', { name, url }),
    read: collectGarbage,
  })
  boundYoung()
  boundOld()
  return untilEnd(async () => {
    await running.close()
    await log.flush()
  }, running.started)
}
