import type { ImagePath } from '../image/path.js';
import type { AccessKind } from '../trace/types.js';

export const policies = ['strict', 'balanced', 'safe'] as const;
export type Policy = (typeof policies)[number];

/** Why a path stays. */
export type Reason =
  | { kind: 'traced'; access: AccessKind; by: string }
  /** Needed by another kept path: `rule` says how ("DT_NEEDED", "#! interpreter", "NSS module", …). */
  | { kind: 'closure'; rule: string; because: ImagePath }
  /** Asked for by the user or a profile: `origin` is "--keep", a profile's file name, … */
  | { kind: 'rule'; pattern: string; origin: string }
  /** Costs next to nothing and is missed if it goes: directory, symlink to a kept file, empty file, device, … */
  | { kind: 'cheap'; what: string };

/** The paths of the merged tree that stay, each with its first reason. */
export interface KeepSet {
  policy: Policy;
  reasons: ReadonlyMap<ImagePath, Reason>;
  /** Paths that a --drop removed, each with the reason it would have stayed for. */
  dropped?: ReadonlyMap<ImagePath, Reason>;
}

/** A file whose content in the debloated image differs from the original's (the package database). */
export interface Rewrite {
  path: ImagePath;
  content: Buffer;
  /** One phrase for the report: "dpkg status of 41 packages instead of 142". */
  why: string;
}

/** One installed package of the image, as its package database tells. */
export interface Package {
  manager: 'dpkg' | 'apk' | 'rpm';
  name: string;
  version: string;
  architecture?: string;
  /** Paths that it installed (directories left out), as resolved in the merged tree. */
  files: ImagePath[];
}
