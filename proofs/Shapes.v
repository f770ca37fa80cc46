(** * Local kernels: tests of ends that imply [accepts_local].

    A node that is not a sum is a relation between the values of its operands and what the machine
    may store ([None]: out of range). An interval is accepted for it if no execution leaves it, on
    any numbers in the operands' intervals ([accepts_on]; [accepts_local] is the same with the
    operands looked up by index). errbound computes with ends only. This file says which tests of
    ends suffice, one theorem for each way in which the records of errbound are enclosed:

    - a nondecreasing function that returns numbers: its values at the ends ([monotone_accepted]);
    - a real value between a and b, then any number of roundings: the rounded a and b
      ([stored_accepted]; one rounding [Step.store_], two [Step.compute_]);
    - a table of all numbers of the format ([tabulated_accepted]);
    - a function known up to an error ([bounded_error_accepted]);
    - either of two kernels: the hull ([either_accepted]); kernels one after the other: one after
      the other ([composed_accepted]); a sum inside of a kernel: [accepts_sum] ([sum_accepted]).

    Arithmetic, batch norm, late biases and windows follow in [Kernels.v]; softmax in [Softmax.v].

    Depends on: [Format] (rounding is monotone), [Contraction] (a sum keeps to its interval). *)

From Coq Require Import Reals List Lra.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Contraction.
Import ListNotations.
Open Scope R_scope.

Definition kernel := list R -> option R -> Prop.

(** K keeps to B on all numbers in the intervals [Xs]. *)
Definition accepts_on (A : arithmetic) (Xs : list interval) (K : kernel) (B : interval) : Prop :=
  forall xs o, Forall2 inside xs Xs -> Forall (number (storage A)) xs -> K xs o ->
    exists y, o = Some y /\ inside y B /\ number (storage A) y.

(** The same, the operands looked up in the graph. *)
Lemma accepted_locally A Bs K ks B :
  accepts_on A (map (box_at Bs) ks) K B -> accepts_local A Bs K ks B.
Proof. exact (fun H => H). Qed.

Definition bind (o : option R) (f : R -> option R) : option R :=
  match o with Some x => f x | None => None end.

(** ** 1. Functions that return numbers of the format *)

Definition exactly (f : list R -> R) : kernel := fun xs o => o = Some (f xs).

Definition nondecreasing (f : list R -> R) : Prop :=
  forall xs ys, Forall2 Rle xs ys -> f xs <= f ys.

(** Operands lie between the ends of their intervals. *)
Lemma above_lows xs Xs : Forall2 inside xs Xs -> Forall2 Rle (map fst Xs) xs.
Proof. induction 1 as [|x X xs Xs [? ?] ? IH]; simpl; constructor; assumption. Qed.

Lemma below_highs xs Xs : Forall2 inside xs Xs -> Forall2 Rle xs (map snd Xs).
Proof. induction 1 as [|x X xs Xs [? ?] ? IH]; simpl; constructor; assumption. Qed.

(** Records by [both_ends] (layout, relu, dropout, max pooling) and clamps: the function at the
    lower ends and at the upper ends. *)
Theorem monotone_accepted A Xs f B :
  nondecreasing f ->
  (forall xs, Forall (number (storage A)) xs -> number (storage A) (f xs)) ->
  fst B <= f (map fst Xs) -> f (map snd Xs) <= snd B ->
  accepts_on A Xs (exactly f) B.
Proof.
  intros up closed low high xs o Hin Hnum ->.
  exists (f xs); repeat split; auto.
  - apply Rle_trans with (1 := low), up, above_lows, Hin.
  - apply Rle_trans with (2 := high), up, below_highs, Hin.
Qed.

(** Selections: an operand, a constant of the format, the larger or smaller of two selections. *)
Inductive selection (F : format) : (list R -> R) -> Prop :=
| selects_entry k : selection F (fun xs => at_index xs k)
| selects_constant c : number F c -> selection F (fun _ => c)
| selects_larger f g : selection F f -> selection F g -> selection F (fun xs => Rmax (f xs) (g xs))
| selects_smaller f g :
    selection F f -> selection F g -> selection F (fun xs => Rmin (f xs) (g xs)).

(** An operand rises with the operands. *)
Lemma entry_nondecreasing k : nondecreasing (fun xs => at_index xs k).
Proof.
  intros xs ys H; revert k; unfold at_index.
  induction H as [|x y xs ys Hxy _ IH]; intros [|k]; simpl; auto using Rle_refl.
Qed.

(** The larger and the smaller of rising values rise. *)
Lemma selection_nondecreasing F f : selection F f -> nondecreasing f.
Proof.
  induction 1 as [k|c _|f g _ IHf _ IHg|f g _ IHf _ IHg]; intros xs ys H.
  - apply entry_nondecreasing, H.
  - apply Rle_refl.
  - apply Rmax_lub;
      [apply Rle_trans with (2 := Rmax_l _ _) | apply Rle_trans with (2 := Rmax_r _ _)]; auto.
  - apply Rmin_glb;
      [apply Rle_trans with (1 := Rmin_l _ _) | apply Rle_trans with (1 := Rmin_r _ _)]; auto.
Qed.

(** A selection returns one of the numbers it is given. *)
Lemma selection_number F f xs : selection F f -> Forall (number F) xs -> number F (f xs).
Proof.
  intros Hf Hxs; induction Hf as [k|c Hc|f g _ IHf _ IHg|f g _ IHf _ IHg]; auto.
  - unfold at_index; destruct (nth_in_or_default k xs 0) as [Hin | ->].
    + rewrite Forall_forall in Hxs; auto.
    + apply number_0.
  - apply Rmax_case; assumption.
  - apply Rmin_case; assumption.
Qed.

(** A selection is accepted from its ends. *)
Theorem selection_accepted A Xs f B :
  selection (storage A) f -> fst B <= f (map fst Xs) -> f (map snd Xs) <= snd B ->
  accepts_on A Xs (exactly f) B.
Proof.
  intros Hf low high; apply monotone_accepted; auto.
  - apply (selection_nondecreasing _ _ Hf).
  - intros xs; apply selection_number, Hf.
Qed.

(** Every entry of reshape, flatten, permute, slice, select, cat, chunk, pad, clone, dropout ... *)
Definition moved (xs : list R) : R := at_index xs 0.

Theorem moving A X B : fst B <= fst X -> snd X <= snd B -> accepts_on A [X] (exactly moved) B.
Proof. intros; apply selection_accepted; auto; apply selects_entry. Qed.

(** Selections: relu; the largest of entries 0 to n (max_pool2d); clamp, clamp_min, clamp_max,
    hardtanh and relu6, whose bounds are operands or constants rounded to storage before. *)
Definition relu (xs : list R) : R := Rmax 0 (at_index xs 0).

Fixpoint maximum (n : nat) (xs : list R) : R :=
  match n with O => at_index xs 0 | S m => Rmax (maximum m xs) (at_index xs n) end.

Definition clamp (lowest highest : list R -> R) (xs : list R) : R :=
  Rmin (Rmax (at_index xs 0) (lowest xs)) (highest xs).

Lemma relu_selects F : selection F relu.
Proof.
  apply (selects_larger F (fun _ => 0)).
  - apply selects_constant, number_0.
  - apply selects_entry.
Qed.

Lemma maximum_selects F n : selection F (maximum n).
Proof.
  induction n as [|n IH].
  - apply selects_entry.
  - apply (selects_larger F _ _ IH), selects_entry.
Qed.

Lemma clamp_selects F lowest highest :
  selection F lowest -> selection F highest -> selection F (clamp lowest highest).
Proof.
  intros Hl Hh; apply (selects_smaller F (fun xs => Rmax (at_index xs 0) (lowest xs))); auto.
  apply (selects_larger F (fun xs => at_index xs 0)); auto; apply selects_entry.
Qed.

(** neg: exact, the ends swap. *)
Theorem negation_accepted A X B :
  fst B <= - snd X -> - fst X <= snd B -> accepts_on A [X] (exactly (fun xs => - moved xs)) B.
Proof.
  intros low high xs o Hin Hnum ->; exists (- moved xs).
  inversion Hin as [|x ? ? ? [? ?] Hnil]; subst; inversion Hnil; inversion Hnum; subst.
  unfold moved, at_index, inside; simpl.
  repeat split; try lra; apply number_opp; assumption.
Qed.

(** ** 2. Real values that are rounded on store *)

(** Rounded to one format after the other. *)
Fixpoint through (Fs : list format) (x : R) : option R :=
  match Fs with [] => Some x | F :: rest => bind (rounded F x) (through rest) end.

(** Stored: rounded to the formats Ms on the way, then to storage. Ms is empty for one rounding
    ([Step.store_]) and the intermediate format for two ([Step.compute_]). *)
Definition store (A : arithmetic) (Ms : list format) : R -> option R := through (Ms ++ [storage A]).

Definition then_stored (A : arithmetic) (Ms : list format) (K : kernel) : kernel :=
  fun xs o => exists v, K xs v /\ o = bind v (store A Ms).

(** The test: the ends a and b stay in range and in B when they are stored. *)
Definition keeps (A : arithmetic) (Ms : list format) (a b : R) (B : interval) : Prop :=
  exists y y', store A Ms a = Some y /\ fst B <= y /\ store A Ms b = Some y' /\ y' <= snd B.

(** Rounding is monotone, and between ends that stay in range nothing leaves it: so for several
    roundings, one after the other. *)
Lemma through_between Fs x y x' l h :
  Forall well_formed Fs -> x <= y <= x' -> through Fs x = Some l -> through Fs x' = Some h ->
  exists z, through Fs y = Some z /\ l <= z <= h.
Proof.
  revert x y x'; induction Fs as [|F Fs IH]; intros x y x' HFs Hxy Hx Hx'; simpl in *.
  - injection Hx as <-; injection Hx' as <-; exists y; auto.
  - inversion HFs as [|? ? HF HFs']; subst.
    destruct (rounded F x) as [s|] eqn:Es; try discriminate Hx.
    destruct (rounded F x') as [s'|] eqn:Es'; try discriminate Hx'.
    destruct (rounded_between F x x' y s s' HF Hxy Es Es') as (t & -> & Ht & _).
    apply (IH s t s' HFs' Ht Hx Hx').
Qed.

(** What is stored is a number of the storage format: it was rounded to it last. *)
Lemma store_number A Ms x y : coherent A -> store A Ms x = Some y -> number (storage A) y.
Proof.
  intros [HS _]; unfold store; revert x; induction Ms as [|M Ms IH]; intros x; simpl.
  - destruct (rounded (storage A) x) as [z|] eqn:Ez; simpl; intros H; inversion H; subst.
    destruct (rounded_inv _ _ _ Ez) as [-> _]; apply fl_number, HS.
  - destruct (rounded M x) as [z|]; simpl; [apply IH | discriminate].
Qed.

(** What lies between ends that pass the test is stored in B. *)
Lemma store_kept A Ms a v b B :
  coherent A -> Forall well_formed Ms -> a <= v <= b -> keeps A Ms a b B ->
  exists y, store A Ms v = Some y /\ inside y B /\ number (storage A) y.
Proof.
  intros HA HM Hv (l & h & Hl & ? & Hh & ?).
  assert (HF : Forall well_formed (Ms ++ [storage A])).
  { apply Forall_app; split; auto; constructor; auto; apply HA. }
  destruct (through_between _ a v b l h HF Hv Hl Hh) as (y & Hy & ?).
  exists y; repeat split; try lra; auto; apply (store_number A Ms v); auto.
Qed.

(** Any kernel whose value before the store lies between a and b. *)
Theorem stored_accepted A Ms Xs (K : kernel) a b B :
  coherent A -> Forall well_formed Ms ->
  (forall xs v, Forall2 inside xs Xs -> Forall (number (storage A)) xs -> K xs v ->
     exists x, v = Some x /\ a <= x <= b) ->
  keeps A Ms a b B -> accepts_on A Xs (then_stored A Ms K) B.
Proof.
  intros HA HM HK Hab xs o Hin Hnum (v & Hv & ->).
  destruct (HK xs v Hin Hnum Hv) as (x & -> & Hx).
  apply (store_kept A Ms a x b); assumption.
Qed.

(** A nondecreasing real function, rounded on store ([compute_]): cast, division by a positive
    constant, a constant added. *)
Theorem compute_accepted A Ms Xs f B :
  coherent A -> Forall well_formed Ms -> nondecreasing f ->
  keeps A Ms (f (map fst Xs)) (f (map snd Xs)) B ->
  accepts_on A Xs (then_stored A Ms (exactly f)) B.
Proof.
  intros HA HM up; apply stored_accepted; auto; intros xs v Hin _ ->; exists (f xs).
  split; auto; split; apply up; [apply above_lows | apply below_highs]; assumption.
Qed.

(** The same with one rounding ([store_]). *)
Theorem rounded_once_accepted A Xs f B l h :
  coherent A -> nondecreasing f ->
  rounded (storage A) (f (map fst Xs)) = Some l -> fst B <= l ->
  rounded (storage A) (f (map snd Xs)) = Some h -> h <= snd B ->
  accepts_on A Xs (fun xs o => o = rounded (storage A) (f xs)) B.
Proof.
  intros HA up Hl ? Hh ? xs o Hin Hnum ->.
  destruct (rounded_between (storage A) (f (map fst Xs)) (f (map snd Xs)) (f xs) l h)
    as (y & Hy & ? & ?); auto; [apply HA | |].
  - split; apply up; [apply above_lows | apply below_highs]; assumption.
  - exists y; unfold inside; repeat split; auto; lra.
Qed.

(** A function of one operand known up to an error: what the kernel computes before the store errs
    by at most rel |f x| + abs (sigmoid and tanh in binary32, with a measured error). *)
Definition errs (f : R -> R) (rel abs : R) : kernel :=
  fun xs v => exists y, v = Some y /\ Rabs (y - f (moved xs)) <= rel * Rabs (f (moved xs)) + abs.

(** t -+ rel |t| are nondecreasing for rel at most 1, so the widened ends bound the widened value
    at every operand in between, each with its own |f x|. *)
Lemma shrunk_nondecreasing rel s t :
  0 <= rel <= 1 -> s <= t -> s - rel * Rabs s <= t - rel * Rabs t.
Proof. intros; unfold Rabs; destruct (Rcase_abs s), (Rcase_abs t); nra. Qed.

Lemma grown_nondecreasing rel s t :
  0 <= rel <= 1 -> s <= t -> s + rel * Rabs s <= t + rel * Rabs t.
Proof. intros; unfold Rabs; destruct (Rcase_abs s), (Rcase_abs t); nra. Qed.

Theorem bounded_error_accepted A Ms X f rel abs B :
  coherent A -> Forall well_formed Ms -> 0 <= rel <= 1 ->
  (forall s t, s <= t -> f s <= f t) ->
  (let l := f (fst X) in let h := f (snd X) in
   keeps A Ms (l - (rel * Rabs l + abs)) (h + (rel * Rabs h + abs)) B) ->
  accepts_on A [X] (then_stored A Ms (errs f rel abs)) B.
Proof.
  intros HA HM Hrel up; apply stored_accepted; auto.
  intros xs v Hin _ (y & -> & Hy); exists y; split; auto.
  inversion Hin as [|x ? ? ? [Hl Hh] Hnil]; subst; inversion Hnil; subst.
  unfold moved, at_index in Hy; simpl in Hy; apply Rabs_le_inv in Hy.
  pose proof (shrunk_nondecreasing rel _ _ Hrel (up _ _ Hl)).
  pose proof (grown_nondecreasing rel _ _ Hrel (up _ _ Hh)).
  lra.
Qed.

(** ** 3. Tables *)

(** All that a kernel may return for each number of the format (several code paths may give several
    results); nothing is known of other inputs. *)
Definition looked_up (T : list (R * R)) : kernel := fun xs o =>
  (exists y, In (moved xs, y) T /\ o = Some y) \/
  (o = None /\ forall y, ~ In (moved xs, y) T).

(** sigmoid and tanh in 16 bits ([_envelope]): the smallest result from the lower end on and the
    largest up to the upper end bound all results, whether or not the kernel is monotone. *)
Theorem tabulated_accepted A X T B :
  (forall x, number (storage A) x -> Rabs x <= Omega (storage A) -> exists y, In (x, y) T) ->
  (forall x y, In (x, y) T -> number (storage A) y) ->
  largest_in X <= Omega (storage A) ->
  (forall x y, In (x, y) T -> fst X <= x -> fst B <= y) ->
  (forall x y, In (x, y) T -> x <= snd X -> y <= snd B) ->
  accepts_on A [X] (looked_up T) B.
Proof.
  intros complete numbers Hrange low high xs o Hin Hnum HK.
  inversion Hin as [|x ? ? ? [Hl Hh] Hnil]; subst; inversion Hnil; inversion Hnum; subst.
  unfold looked_up, moved, at_index in HK; simpl in HK.
  destruct HK as [(y & Hy & ->) | (_ & missing)].
  - exists y; unfold inside; repeat split; eauto.
  - destruct (complete x) as (y & Hy); auto.
    + apply Rle_trans with (2 := Hrange), Rabs_le; unfold largest_in.
      pose proof (Rmax_l (Rabs (fst X)) (Rabs (snd X))).
      pose proof (Rmax_r (Rabs (fst X)) (Rabs (snd X))).
      pose proof (Rle_abs (snd X)); pose proof (Rle_abs (- fst X)); rewrite Rabs_Ropp in *; lra.
    + destruct (missing y Hy).
Qed.

(** ** 4. Kernels from kernels *)

Definition hull (B C : interval) : interval := (Rmin (fst B) (fst C), Rmax (snd B) (snd C)).

Definition either (K L : kernel) : kernel := fun xs o => K xs o \/ L xs o.

(** Where the library chooses between two kernels, the hull ([hull]). *)
Theorem either_accepted A Xs K L B C :
  accepts_on A Xs K B -> accepts_on A Xs L C -> accepts_on A Xs (either K L) (hull B C).
Proof.
  intros HK HL xs o Hin Hnum [H | H];
    [destruct (HK xs o Hin Hnum H) as (y & ? & [? ?] & ?)
    |destruct (HL xs o Hin Hnum H) as (y & ? & [? ?] & ?)];
    exists y; unfold inside, hull; simpl;
    pose proof (Rmin_l (fst B) (fst C)); pose proof (Rmin_r (fst B) (fst C));
    pose proof (Rmax_l (snd B) (snd C)); pose proof (Rmax_r (snd B) (snd C));
    repeat split; auto; lra.
Qed.

(** Two enclosures of one kernel: what both contain ([_meet] of softmax). *)
Theorem meet_accepted A Xs K B C :
  accepts_on A Xs K B -> accepts_on A Xs K C ->
  accepts_on A Xs K (Rmax (fst B) (fst C), Rmin (snd B) (snd C)).
Proof.
  intros HB HC xs o Hin Hnum H.
  destruct (HB xs o Hin Hnum H) as (y & Hy & [? ?] & ?).
  destruct (HC xs o Hin Hnum H) as (z & Hz & [? ?] & _).
  rewrite Hy in Hz; injection Hz as <-; exists y; unfold inside; simpl.
  repeat split; auto; [apply Rmax_lub | apply Rmin_glb]; assumption.
Qed.

(** Stored results of the kernels [inner] are the operands of another; out of range once one is. *)
Definition composed (inner : list kernel) (outer : kernel) : kernel := fun xs o =>
  (exists ys, Forall2 (fun K y => K xs (Some y)) inner ys /\ outer ys o) \/
  (Exists (fun K => K xs None) inner /\ o = None).

Theorem composed_accepted A Xs inner outer Bs B :
  Forall2 (accepts_on A Xs) inner Bs -> accepts_on A Bs outer B ->
  accepts_on A Xs (composed inner outer) B.
Proof.
  intros Hinner Houter xs o Hin Hnum [(ys & Hys & Ho) | (Hout & ->)].
  - assert (H : Forall2 inside ys Bs /\ Forall (number (storage A)) ys).
    { clear Ho Houter; revert ys Hys; induction Hinner as [|K C inner Bs HK _ IH]; intros ys Hys;
        inversion Hys as [|? y ? ys' Hy Hys']; subst; [split; constructor |].
      destruct (HK xs (Some y) Hin Hnum Hy) as (z & Hz & ? & ?); injection Hz as <-.
      destruct (IH ys' Hys'); split; constructor; assumption. }
    apply (Houter ys o); tauto.
  - exfalso; clear Houter; revert Hout; induction Hinner as [|K C inner Bs HK _ IH]; intros Hout;
      inversion Hout as [? ? Hnone | ? ? Hrest]; subst; auto.
    destruct (HK xs None Hin Hnum Hnone) as (z & Hz & _); discriminate Hz.
Qed.

(** A sum as a kernel, with an arithmetic C of its own (another accumulator, no flush). *)
Theorem sum_accepted A C Xs ts ds B :
  coherent C -> storage C = storage A -> accepts_sum C Xs ts ds B ->
  accepts_on A Xs (step C (Sum ts ds)) B.
Proof.
  intros HC HS Hsum xs o Hin Hnum Hstep; rewrite <- HS in *.
  apply (accepts_sum_sound C xs Xs ts ds B o); assumption.
Qed.
