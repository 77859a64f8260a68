import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { isIP } from 'node:net'

/** Certificates for tests: just enough of RFC 5280 in DER to make an authority and what it signs. */

export type Certified = { cert: string; key: string }
export type Authority = Certified & { issue(name: string, altNames?: readonly string[]): Certified }

const tlv = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}
const sequence = (...parts: Buffer[]) => tlv(0x30, ...parts)
const hex = (text: string) => Buffer.from(text, 'hex')
const ECDSA_SHA256 = sequence(tlv(0x06, hex('2a8648ce3d040302')))
const nameOf = (text: string) => sequence(tlv(0x31, sequence(tlv(0x06, hex('550403')), tlv(0x0c, Buffer.from(text)))))
const time = (date: Date) => tlv(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))
const extension = (oid: string, value: Buffer) => sequence(tlv(0x06, hex(oid)), tlv(0x01, hex('ff')), tlv(0x04, value))

function altName(name: string): Buffer {
  return isIP(name) === 4 ? tlv(0x87, Buffer.from(name.split('.').map(Number))) : tlv(0x82, Buffer.from(name))
}

type Signed = { subject: string; issuer: string; publicKey: KeyObject; signer: KeyObject; extensions: Buffer[] }

function certificate({ subject, issuer, publicKey, signer, extensions }: Signed): string {
  const now = Date.now()
  const body = sequence(
    tlv(0xa0, tlv(0x02, hex('02'))),
    tlv(0x02, Buffer.concat([hex('01'), randomBytes(8)])),
    ECDSA_SHA256,
    nameOf(issuer),
    sequence(time(new Date(now - 3_600_000)), time(new Date(now + 86_400_000))),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  )
  const signature = tlv(0x03, hex('00'), sign('sha256', body, signer))
  const base64 = sequence(body, ECDSA_SHA256, signature).toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
}

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()

export function authority(name: string): Authority {
  const own = pair()
  const { publicKey, privateKey: signer } = own
  const extensions = [extension('551d13', sequence(tlv(0x01, hex('ff'))))]
  const cert = certificate({ subject: name, issuer: name, publicKey, signer, extensions })
  return {
    cert,
    key: pem(own.privateKey),
    issue(subject, altNames = []) {
      const { publicKey, privateKey } = pair()
      const extensions = [
        extension('551d13', sequence()),
        ...(altNames.length > 0 ? [extension('551d11', sequence(...altNames.map(altName)))] : []),
      ]
      return {
        cert: certificate({ subject, issuer: name, publicKey, signer: own.privateKey, extensions }),
        key: pem(privateKey),
      }
    },
  }
}
