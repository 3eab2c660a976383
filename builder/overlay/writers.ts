import type { OverlayFormat } from '../types.js';
import { erofs } from './erofs.js';
import { ext4 } from './ext4.js';
import type { OverlayWriter } from './format.js';
import { squashfs } from './squashfs.js';

export const overlayWriters: Record<OverlayFormat, OverlayWriter> = { squashfs, ext4, erofs };
