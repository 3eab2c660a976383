/** What `debloat doctor` found out about one thing. */
export interface Check {
  name: string;
  /** `ok`; `limited`: something optional cannot be done; `failed`: the main job cannot. */
  status: 'ok' | 'limited' | 'failed';
  /** One phrase: a version, or what is wrong. */
  detail: string;
  /** What to do about it. */
  fix?: string;
}
