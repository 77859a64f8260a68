// One attempt of a probe or a lifecycle hook, from where the kubelet stands: the node.
import { request as plain } from 'node:http'
import { request as secure } from 'node:https'
import { connect } from 'node:net'
import { pause } from '../wait.ts'
import type { ContainerSpec, Hook, HttpGet } from './spec.ts'

export type Target = Readonly<{
  ip: string
  container: ContainerSpec
  /** Runs a command in the container; resolves with its exit code. */
  exec: (command: readonly string[], signal: AbortSignal) => Promise<number>
}>

/** Resolves with nothing when it succeeds, with the reason when it fails or takes longer than `timeout` ms. */
export async function attempt(action: Hook, target: Target, timeout: number): Promise<string | undefined> {
  const signal = AbortSignal.timeout(Math.ceil(timeout))
  try {
    if (action.httpGet) return await get(action.httpGet, target, signal)
    if (action.tcpSocket) return await dial(port(action.tcpSocket.port, target), target.ip, signal)
    if (action.exec) {
      const code = await target.exec(action.exec.command, signal)
      return code === 0 ? undefined : `exit code ${code}`
    }
    if (action.sleep) await Promise.race([pause(action.sleep.seconds * 1000), aborted(signal)])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function get({ scheme, host, path = '/', httpHeaders = [], ...rest }: HttpGet, target: Target, signal: AbortSignal) {
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.36', connection: 'close' }
  for (const { name, value } of httpHeaders) headers[name.toLowerCase()] = value
  return new Promise<string | undefined>((resolve, reject) => {
    const request = scheme === 'HTTPS' ? secure : plain
    const sent = request({
      host: host ?? target.ip, port: port(rest.port, target), path, headers, signal,
      agent: false, rejectUnauthorized: false,
    }, (response) => {
      const status = response.statusCode ?? 0
      response.resume()
      response.once('error', reject)
      response.once('close', () => resolve(status >= 200 && status < 400 ? undefined : `statuscode: ${status}`))
    })
    sent.once('error', reject)
    sent.end()
  })
}

function dial(port: number, host: string, signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal }, () => {
      socket.destroy()
      resolve(undefined)
    })
    socket.once('error', reject)
  })
}

function port(wanted: number | string, { container }: Target): number {
  if (typeof wanted === 'number') return wanted
  const named = container.ports?.find(({ name }) => name === wanted)
  if (!named) throw new Error(`container ${container.name} has no port named ${wanted}`)
  return named.containerPort
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('timed out'))))
}
