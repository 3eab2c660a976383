import { applicationRule } from './application.js';
import { cLibraryRule, gconvRule, nssRule } from './c-library.js';
import { elfRule } from './elf.js';
import { entrypointRule, healthcheckRule, shellFormRule } from './entrypoint.js';
import { erlangRule } from './erlang.js';
import { javaRule } from './java.js';
import { listedRule } from './listed.js';
import { localeRule } from './locale.js';
import { nodeRule } from './node.js';
import { packageProgramsRule } from './package-programs.js';
import { pamRule } from './pam.js';
import { perlRule } from './perl.js';
import { phpRule } from './php.js';
import { pluginsRule } from './plugins.js';
import { pythonRule } from './python.js';
import { rubyRule } from './ruby.js';
import type { ClosureRule } from './rule.js';
import { scriptCommandsRule } from './script-commands.js';
import { shebangRule } from './shebang.js';
import { caCertificatesRule, opensslRule } from './tls.js';
import { shellRule, wholePackagesRule } from './whole-packages.js';
import { zoneinfoRule } from './zoneinfo.js';

/** Every closure rule, made anew; those that look at the whole set come last. */
export function closureRules(): ClosureRule[] {
  return [
    entrypointRule(),
    shellFormRule(),
    healthcheckRule(),
    applicationRule(),
    listedRule(),
    shellRule(),
    elfRule(),
    shebangRule(),
    scriptCommandsRule(),
    cLibraryRule(),
    nssRule(),
    gconvRule(),
    pamRule(),
    caCertificatesRule(),
    opensslRule(),
    zoneinfoRule(),
    pythonRule(),
    nodeRule(),
    perlRule(),
    rubyRule(),
    phpRule(),
    javaRule(),
    erlangRule(),
    wholePackagesRule(),
    localeRule(),
    packageProgramsRule(),
    pluginsRule(),
  ];
}
