/** The server's answers. Times are seconds from the recording's begin, amplitudes millivolts, null is "not measurable". */

export interface Model {
  name: string;
  folds: number;
  trained_on: string;
  synthetic: boolean;
  digest: string;
  classes: string[];
  streams: string[];
  threshold: number;
  saliency: boolean;
}

export interface ServerState {
  version: string;
  notice: string;
  models: Model | null;
  training: { state: "running" | "failed"; done: number; total: number; message: string } | null;
  limits: { upload_mb: number; files: number; hours: number };
}

export type Status = "question" | "queued" | "running" | "done" | "failed" | "refused";

export interface Question {
  field: "rate" | "units" | "leads";
  text: string;
  options: string[];
  suggested: string | null;
}

export interface Item {
  id: string;
  name: string;
  format: string;
  uploaded: string;
  bytes: number;
  status: Status;
  progress: { stage: string; done: number; total: number; seconds_left?: number | null } | null;
  error: string;
  understood: {
    leads: string[];
    rate: number | null;
    units: string | null;
    seconds: number | null;
    samples: number;
    notes: string[];
  } | null;
  questions: Question[];
  preview: { lead: string; seconds: number | null; values: (number | null)[] } | null;
  summary: { group: string | null; probability: number | null; heart_rate: number | null; warnings: number } | null;
  note: string;
}

export type LeadStatus = "measured" | "derived" | "missing" | "dead";

export interface SignalInfo {
  leads: { name: string; status: LeadStatus }[];
  rate: number;
  samples: number;
  seconds: number;
  filters: string[];
  notch: string[];
  levels: number[];
}

export interface Warning {
  kind: string;
  text: string;
  severity: "info" | "warning";
}

export interface Beat {
  time: number;
  rr_ms: number | null;
  abnormal_rr: boolean;
}

export interface Interval {
  name: string;
  value: number | null;
  unit: string;
  beats: number;
  spread: number | null;
  why: string;
}

export interface Delineation {
  lead: string | null;
  p_onsets: number[];
  p_peaks: number[];
  p_offsets: number[];
  qrs_onsets: number[];
  qrs_offsets: number[];
  t_peaks: number[];
  t_offsets: number[];
}

export interface Measurements {
  beats: Beat[];
  rhythm_lead: string | null;
  heart_rate: { mean: number | null; min: number | null; max: number | null };
  rr: { count: number; mean_ms: number | null; sd_ms: number | null; min_ms: number | null; max_ms: number | null };
  hrv: { name: string; value: number | null; unit: string; note: string }[];
  intervals: Interval[];
  delineation: Delineation | null;
  warnings: Warning[];
}

export interface ClassRow {
  class: string;
  title: string;
  probability: number | null;
  fold_min: number | null;
  fold_max: number | null;
  folds: number;
  threshold: number;
  positive: boolean;
  why: string;
}

export interface PredictionWindow {
  start: number;
  stop: number;
  probability: Record<string, number | null>;
}

export interface Prediction {
  model: Model;
  pooling: string;
  poolings: { name: string; title: string }[];
  classes: ClassRow[];
  groups: { group: string; probability: number | null; from: string[] }[];
  rule: string;
  windows: PredictionWindow[];
  streams: { stream: string; title: string; change: Record<string, number | null>; how: string }[] | null;
  warnings: Warning[];
  synthetic: boolean;
  not_for_use: string;
}

export type SaliencyMethod = "gradcam" | "integrated_gradients";

export interface Saliency {
  class: string;
  method: SaliencyMethod;
  title: string;
  window: number;
  start: number;
  stop: number;
  times: number[];
  values?: (number | null)[];
  leads?: Record<string, (number | null)[]>;
  completeness: number | null;
  note: string;
}
