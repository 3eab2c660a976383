/** Where an image went. */
export interface Published {
  /** As the user may name it from now on. */
  reference: string;
  /** What the target calls it: the image ID of an engine, else the manifest's digest. */
  digest: string;
}
