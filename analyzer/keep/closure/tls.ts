import { baseName, joinPath, parentOf, type ImagePath } from '../../image/path.js';
import { filesBelow, glob } from '../tree-walk.js';
import { always, type ClosureContext, type ClosureRule, type Need } from './rule.js';

const tlsLibrary =
  /^lib(?:ssl|gnutls|nss3|mbedtls|wolfssl)[.-]|^(?:openssl|java|node|libnode\.so.*)$/;
const cryptoLibrary = /^libcrypto\.so/;

/** One file with all certificates: Debian and Alpine; Alpine and BSDs; Fedora; openSUSE. */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/ssl/cert.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/tls/cert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
];

/**
 * CA certificates, which no run without an outgoing connection opens. Any image that brings a bundle
 * keeps it above strict (Go programs verify without a TLS library); with a TLS library kept, strict
 * keeps the bundle and the other levels the hashed directory too.
 */
export function caCertificatesRule(): ClosureRule {
  const pathNeeds = (paths: readonly ImagePath[]): Need[] =>
    paths.map((path) => ({ path, rule: 'CA certificates for' }));
  return {
    name: 'CA certificates',
    policies: always,
    expand(node, context) {
      if (!tlsLibrary.test(baseName(node.path))) return [];
      const directory = glob(context.tree, '/etc/ssl/certs').flatMap((dir) => [
        ...filesBelow(context.tree.resolve(dir).node),
      ]);
      return pathNeeds([
        ...bundles,
        ...(context.policy === 'strict' ? [] : directory.map(({ path }) => path)),
      ]);
    },
    seeds(context) {
      if (context.policy === 'strict') return [];
      return bundles.map((path) => ({ path, reason: { kind: 'cheap', what: 'CA certificates' } }));
    },
  };
}

/** OpenSSL's own configuration, and above strict its provider and engine modules. */
export function opensslRule(): ClosureRule {
  return {
    name: 'OpenSSL',
    policies: always,
    expand(node, context) {
      if (!cryptoLibrary.test(baseName(node.path))) return [];
      return [
        ...configuration(context),
        ...(context.policy === 'strict' ? [] : modules(parentOf(node.path), context)),
      ];
    },
  };
}

function configuration({ tree }: ClosureContext): Need[] {
  return ['/etc/ssl', '/usr/lib/ssl', '/etc/pki/tls', '/usr/local/ssl']
    .map((dir) => joinPath(dir, 'openssl.cnf'))
    .filter((path) => tree.resolve(path).node !== undefined)
    .map((path) => ({ path, rule: 'configuration of' }));
}

function modules(dir: ImagePath, { tree }: ClosureContext): Need[] {
  return ['ossl-modules', 'engines-3', 'engines-1.1']
    .flatMap((name) => [...filesBelow(tree.get(joinPath(dir, name)))])
    .map(({ path }) => ({ path, rule: 'OpenSSL module of' }));
}
