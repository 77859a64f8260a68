import { registerHooks } from 'node:module'

/**
 * Of the client library only what finds and refreshes credentials. That module also names the generated clients, of every kind
 * and version there is: 40 MiB and a third of a second, for a method that nobody calls here. They are left out as it is loaded;
 * of a library laid out in another way, all of it is.
 */
const clients = 'data:text/javascript,export const createConfiguration = undefined, ServerConfiguration = undefined'
const hooks = registerHooks({
  resolve(specifier, context, next) {
    const left = specifier === './gen/index.js' && context.parentURL?.endsWith('/client-node/dist/config.js')
    return left ? { url: clients, shortCircuit: true } : next(specifier, context)
  },
})
const { KubeConfig: Config } = await import('@kubernetes/client-node/dist/config.js')
hooks.deregister()

export const KubeConfig = Config
export type KubeConfig = InstanceType<typeof Config>
