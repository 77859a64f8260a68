import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'

export type FleetOptions = Readonly<{
  /** `https://NAME:PORT`; every address of the name is a proxy of the fleet. */
  url: URL
  /** What the certificate of each must be for. */
  serverName: string
  /** Files in PEM, read anew for each connection: they are replaced as they are renewed. */
  tls: Readonly<{ cert: string; key: string; ca: string }>
}>

/** Dials a proxy of the fleet; as a string: why none can be reached. */
export type Dial = (protocol: 'h2' | 'http/1.1') => Promise<TLSSocket | string>

/** Milliseconds for one proxy, with the handshake. */
const connectMax = 2_000
/** Proxies that one connection tries. */
const triesMax = 3
/** Milliseconds without a byte, for an end whose other one has closed. */
const lingerMax = 5_000
/** Milliseconds that addresses are taken to be right. */
const lookMax = 1_000

/** Each connection goes to the next proxy, and to another where that one cannot be reached. */
export function createDial({ url, serverName, tls }: FleetOptions): Dial {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port === '' ? 443 : url.port)
  let turn = Math.floor(Math.random() * 1000)
  let looked: Readonly<{ at: number; addresses: Promise<readonly string[]> }> | undefined

  function addressesOf(): Promise<readonly string[]> {
    const now = performance.now()
    if (isIP(host) !== 0) return Promise.resolve([host])
    if (looked === undefined || now - looked.at > lookMax) {
      looked = { at: now, addresses: lookup(host, { all: true, order: 'verbatim' }).then((all) => all.map(({ address }) => address)) }
    }
    return looked.addresses
  }

  return async (protocol) => {
    let why = `${host} has no address`
    try {
      const [addresses, cert, key, ca] = await Promise.all([addressesOf(), readFile(tls.cert), readFile(tls.key), readFile(tls.ca)])
      for (let tries = 0; tries < Math.min(triesMax, addresses.length); tries++) {
        const address = addresses[turn++ % addresses.length] ?? host
        const options = { host: address, port, cert, key, ca, servername: serverName, minVersion: 'TLSv1.3', ALPNProtocols: [protocol], allowHalfOpen: true } as const
        const reached = await reach(connect(options))
        if (typeof reached !== 'string') return reached
        why = `${address}: ${reached}`
      }
    } catch (error) {
      looked = undefined
      why = error instanceof Error ? error.message : String(error)
    }
    return why
  }
}

function reach(socket: TLSSocket): Promise<TLSSocket | string> {
  const { promise, resolve } = Promise.withResolvers<TLSSocket | string>()
  const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), connectMax)
  const failed = (error: Error) => resolve(error.message)
  socket.once('error', failed)
  socket.once('secureConnect', () => {
    socket.off('error', failed)
    socket.setNoDelay(true)
    resolve(socket)
  })
  return promise.finally(() => clearTimeout(timer))
}

/**
 * Both ways, each until it has ended: whoever has nothing more to say still hears the other. Whatever breaks on one side is
 * seen to have been broken on the other.
 */
export function join(client: Socket, proxy: TLSSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let open = 2
  const closed = (other: Socket) => (): void => {
    if (!other.writableEnded) other.destroy()
    // What it still sends is for nobody; left unread it would take away what it has not read yet.
    else other.resume().setTimeout(lingerMax, () => other.destroy())
    if (--open === 0) resolve()
  }
  client.on('error', () => proxy.destroy())
  proxy.on('error', () => client.resetAndDestroy())
  client.once('close', closed(proxy)).pipe(proxy)
  proxy.once('close', closed(client)).pipe(client)
  return promise
}
