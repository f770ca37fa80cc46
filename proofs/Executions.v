(** * Executions as linear relations

    [Backward.v] bounds functionals of any numbers that keep to linear relations; here are the
    relations that executions keep to. The values of one execution are numbers of their intervals
    ([numbers_in]), and each is what its node may store from the others ([consistent]). Whatever
    follows from these two facts alone ([follows]) is true of every execution ([follows_holds]), and
    stays true where intervals are narrowed ([follows_narrowed]): relations keep their centres.

    Main results, each a relation that follows: of a sum with its summation error and its rounding
    ([sum_relation]), of a relu ([relu_relation]), of the largest of several values
    ([largest_relation]); with any slope, in the form that [Backward.v] takes ([slope_relation]);
    of any other node, or an input, as a source with its interval ([interval_relation]). Sums that
    are divided are such sources here. Depends on: [Cell], [Sum], [Contraction], [Network],
    [Backward]. *)

From Coq Require Import Reals List Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Cell Sum Contraction Network Backward.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Executions *)

Definition numbers_in (A : arithmetic) (Bs : list interval) (ys : list R) : Prop :=
  Forall2 inside ys Bs /\ Forall (number (storage A)) ys.

(** From numbers in X, every execution stays in range and inside Bs. *)
Definition keeps (A : arithmetic) (X : list interval) (p : list node) (Bs : list interval) :=
  forall xs o, numbers_in A X xs -> runs A p xs o -> exists ys, o = Some ys /\ numbers_in A Bs ys.

Definition reads_of (t : summand) : list nat :=
  match t with Weighted _ k => [k] | Entry k => [k] | Constant _ => [] end.
Definition operands (v : node) : list nat :=
  match v with Sum ts _ => flat_map reads_of ts | Local _ ks => ks end.
Definition below (n : nat) (v : node) : Prop := Forall (fun k => (k < n)%nat) (operands v).

(** The nodes p follow n inputs: each value is one that its node may store from the values ys. *)
Definition consistent (A : arithmetic) (n : nat) (p : list node) (ys : list R) : Prop :=
  forall m v, nth_error p m = Some v -> below (n + m) v ->
    step A v ys (Some (at_index ys (n + m))).

Lemma at_index_app xs zs k : (k < length xs)%nat -> at_index (xs ++ zs) k = at_index xs k.
Proof. intros H. now apply app_nth1. Qed.

(** The values after a node change nothing of it. *)
Lemma step_app A v xs zs o : below (length xs) v -> step A v xs o -> step A v (xs ++ zs) o.
Proof.
  unfold below. rewrite Forall_forall. destruct v as [ts ds | kernel ks]; simpl; intros H.
  - replace (map (term_of (xs ++ zs)) ts) with (map (term_of xs) ts); [easy|].
    apply map_ext_in. intros t T.
    assert (K : forall k, In k (reads_of t) -> at_index (xs ++ zs) k = at_index xs k)
      by (intros k K; apply at_index_app, H, in_flat_map; now exists t).
    destruct t; simpl in *; rewrite ?K; auto.
  - replace (map (at_index (xs ++ zs)) ks) with (map (at_index xs) ks); [easy|].
    apply map_ext_in. intros k K. now rewrite at_index_app by auto.
Qed.

(** An execution adds values to its input, and is consistent. *)
Lemma runs_consistent A p xs o : runs A p xs o -> forall ys, o = Some ys ->
  (exists zs, ys = xs ++ zs) /\ consistent A (length xs) p ys.
Proof.
  induction 1 as [xs | v p xs y o T X IH | v p xs T]; intros ys E; [| |easy].
  - injection E as <-. split; [exists []; now rewrite app_nil_r|]. intros [|m] v; easy.
  - destruct (IH ys E) as [[zs ->] C]. rewrite <- app_assoc in *.
    split; [eexists; reflexivity|]. intros [|m] w Hw L; simpl in Hw.
    + injection Hw as <-. rewrite Nat.add_0_r in *. unfold at_index.
      rewrite app_nth2, Nat.sub_diag by lia. now apply step_app.
    + specialize (C m w Hw). rewrite app_length in C. simpl in C.
      replace (length xs + S m)%nat with (length xs + 1 + m)%nat in * by lia. auto.
Qed.

(** The last node runs after the others. *)
Lemma runs_last A p v xs o : runs A (p ++ [v]) xs o ->
  runs A p xs None /\ o = None \/
  exists ys r, runs A p xs (Some ys) /\ step A v ys r /\ o = option_map (fun y => ys ++ [y]) r.
Proof.
  revert xs. induction p as [| w p IH]; simpl; intros xs X.
  - right. exists xs. inversion X as [| ? ? ? y ? T Y | ]; subst.
    + inversion Y; subst. exists (Some y). repeat split; [constructor | easy].
    + exists None. repeat split; [constructor | easy].
  - inversion X as [| ? ? ? y ? T Y | ]; subst.
    + destruct (IH _ Y) as [[N ->] | (ys & r & Y' & S & ->)].
      * left. split; [now apply runs_on with y | easy].
      * right. exists ys, r. split; [now apply runs_on with y | easy].
    + left. split; [now apply runs_out | easy].
Qed.

(** ** 2. What follows from intervals *)

(** Q is true of all numbers in the intervals that agree with the nodes. *)
Definition follows (A : arithmetic) (X : list interval) (p : list node) (Bs : list interval)
    (Q : list R -> Prop) : Prop :=
  forall ys, numbers_in A Bs ys -> consistent A (length X) p ys -> Q ys.

(** So it is true of every execution. *)
Lemma follows_holds A X p Bs Q xs ys : keeps A X p Bs -> follows A X p Bs Q ->
  numbers_in A X xs -> runs A p xs (Some ys) -> numbers_in A Bs ys /\ Q ys.
Proof.
  intros K F N T. destruct (K xs _ N T) as (ys' & E & I). injection E as <-.
  split; [easy|]. apply F; [easy|]. rewrite <- (inside_length _ _ (proj1 N)).
  now apply (runs_consistent A p xs (Some ys)).
Qed.

(** What followed before intervals were narrowed still follows. *)
Definition within (Bs Cs : list interval) : Prop :=
  Forall2 (fun B C => fst C <= fst B /\ snd B <= snd C) Bs Cs.

Lemma follows_within A X p Bs Cs Q : within Bs Cs -> follows A X p Cs Q -> follows A X p Bs Q.
Proof.
  intros W F ys [I N]. apply F. split; [|easy]. clear - W I. revert ys I.
  induction W as [| B C Bs Cs [L U] W IH]; intros ys I; inversion I; subst; constructor; auto.
  unfold inside in *. lra.
Qed.

(** The interval of v, intersected with B. *)
Fixpoint narrow (Bs : list interval) (v : nat) (B : interval) : list interval :=
  match Bs, v with
  | [], _ => []
  | C :: Bs, O => (Rmax (fst C) (fst B), Rmin (snd C) (snd B)) :: Bs
  | C :: Bs, S v => C :: narrow Bs v B
  end.

Lemma narrow_within Bs v B : within (narrow Bs v B) Bs.
Proof.
  assert (same : forall Bs, within Bs Bs)
    by (intros Cs; induction Cs; constructor; auto; split; lra).
  revert v. induction Bs as [| C Bs IH]; intros [|v]; simpl; constructor; auto.
  - split; [apply Rmax_l | apply Rmin_l].
  - apply same.
  - split; lra.
  - apply IH.
Qed.

(** So relations that were made before, centres and all, may be used after. *)
Lemma follows_narrowed A X p Bs v B Q : follows A X p Bs Q -> follows A X p (narrow Bs v B) Q.
Proof. apply follows_within, narrow_within. Qed.

(** A narrowed interval holds what both intervals hold. *)
Lemma inside_narrow ys Bs v B :
  Forall2 inside ys Bs -> inside (at_index ys v) B -> Forall2 inside ys (narrow Bs v B).
Proof.
  intros H. revert v. unfold at_index.
  induction H as [| y C ys Bs I H IH]; intros [|v] J; simpl in *; constructor; auto.
  unfold inside in *. split; [now apply Rmax_lub | now apply Rmin_glb].
Qed.

(** ** 3. Relations *)

(** The coefficient of entry k; an index that is read twice counts twice. *)
Definition coefficient (t : summand) (k : nat) : R :=
  match t with
  | Weighted w j => w * (if Nat.eqb k j then 1 else 0)
  | Entry j => if Nat.eqb k j then 1 else 0
  | Constant _ => 0
  end.
Definition weight (ts : list summand) (k : nat) : R := total (map (fun t => coefficient t k) ts).

(** The exact sum is affine in the operands' deviations from any centres. *)
Lemma exact_affine N c ys ts : Forall (fun k => (k < N)%nat) (flat_map reads_of ts) ->
  exact (map (term_of ys) ts) =
    sum N (fun k => weight ts k * (at_index ys k - c k)) + total (map (centre c) ts).
Proof.
  induction ts as [| t ts IH]; intros H.
  - rewrite sum_0; [unfold exact; simpl; ring|]. intros. change (weight [] v) with 0. ring.
  - simpl in H. apply Forall_app in H as [Ht H]. specialize (IH H).
    rewrite (sum_eq N _ (fun k => coefficient t k * (at_index ys k - c k) +
      weight ts k * (at_index ys k - c k)))
      by (intros; change (weight (t :: ts) v) with (coefficient t v + weight ts v); ring).
    rewrite sum_plus.
    enough (value (term_of ys t) =
      sum N (fun k => coefficient t k * (at_index ys k - c k)) + centre c t)
      by (unfold exact, total in *; simpl; lra).
    destruct t as [w j | j | b]; simpl in *.
    + rewrite (sum_eq N _ (fun k => w * ((if Nat.eqb k j then 1 else 0) *
        (at_index ys k - c k)))) by (intros; ring).
      inversion Ht; subst. rewrite sum_scale, (sum_unit N j (fun k => _)) by easy. lra.
    + inversion Ht; subst. rewrite (sum_unit N j (fun k => _)) by easy. lra.
    + rewrite sum_0; [ring|]. intros. ring.
Qed.

(** An operator's relation: the value at v is within [gap] of an affine function of others. *)
Definition affine N (w c : nat -> R) (o_lo o_hi gap : R) (v : nat) (ys : list R) : Prop :=
  exists y o, y = sum N (fun k => w k * (at_index ys k - c k)) + o /\ o_lo <= o <= o_hi /\
              Rabs (at_index ys v - y) <= gap.

(** With any slope for the rounding it is a relation in the sense of [Backward.v]; the noise takes
    the interval of v for the part 1 - s. *)
Theorem slope_relation A X p Bs N w c o_lo o_hi gap v s M low high :
  follows A X p Bs (affine N w c o_lo o_hi gap v) -> 0 <= s <= 1 ->
  (forall k, (k < N)%nat -> M v k = s * w k) ->
  low v <= (1 - s) * (fst (box_at Bs v) - c v) + s * (o_lo - gap - c v) ->
  (1 - s) * (snd (box_at Bs v) - c v) + s * (o_hi + gap - c v) <= high v ->
  follows A X p Bs (fun ys => related N M c low high v (at_index ys)).
Proof.
  intros F Hs HM L U ys I C. destruct (F ys I C) as (y & o & E & O & G).
  change (low v <= (at_index ys v - c v) - sum N (fun k => M v k * (at_index ys k - c k))
    <= high v).
  rewrite (sum_eq N _ (fun k => s * w k * (at_index ys k - c k)))
    by (intros k K; now rewrite HM).
  destruct (any_slope N (fun _ => w) c (at_index ys) v y o s gap _ _ o_lo o_hi Hs
    (inside_at ys Bs v (proj1 I)) G O E) as [H H'].
  exact (conj (Rle_trans _ _ _ L H) (Rle_trans _ _ _ H' U)).
Qed.

(** Any node, and any input, is a source with its interval. *)
Theorem interval_relation A X p Bs N c v M low high : (forall k, (k < N)%nat -> M v k = 0) ->
  low v <= fst (box_at Bs v) - c v -> snd (box_at Bs v) - c v <= high v ->
  follows A X p Bs (fun ys => related N M c low high v (at_index ys)).
Proof.
  intros HM L U ys [I _] _. apply source; [easy|].
  destruct (inside_at ys Bs v I). lra.
Qed.

(** e bounds the error of a sum, as in [accepts_sum]. *)
Definition summable (A : arithmetic) (Bs : list interval) (ts : list summand) (e : R) : Prop :=
  errs_by A Bs ts e /\ Forall (constants_fit A) ts.

Lemma accepted_summable A Bs ts ds B : accepts_sum A Bs ts ds B -> exists e, summable A Bs ts e.
Proof. intros (F & _ & e & _ & _ & E & _). now exists e. Qed.

(** Of a sum: the value at v is finished from a number within e of the exact sum. *)
Definition summed (A : arithmetic) ts ds (e : R) (v : nat) (ys : list R) : Prop :=
  exists z, number (accumulator A) z /\ Rabs (z - exact (map (term_of ys) ts)) <= e /\
            finish A ds z = Some (at_index ys v).

(** So it is for a sum in a program. *)
Lemma sum_follows A X p Bs m ts ds e : coherent A -> nth_error p m = Some (Sum ts ds) ->
  let v := (length X + m)%nat in below v (Sum ts ds) -> summable A Bs ts e ->
  follows A X p Bs (summed A ts ds e v).
Proof.
  intros C P v L (S & F) ys [I N] Y. destruct (Y m _ P L) as (o & T & E).
  destruct (errs_by_sound A ys Bs ts o e C I N F T S) as (z & -> & Nz & D). now exists z.
Qed.

(** A sum that is stored without a division: its weights; the value at the centres, which errs by
    the summation; and a gap of half an ulp. *)
Theorem sum_relation A X p Bs N m ts c o_lo o_hi gap e :
  coherent A -> nth_error p m = Some (Sum ts []) ->
  let v := (length X + m)%nat in
  below v (Sum ts []) -> (v <= N)%nat -> summable A Bs ts e ->
  o_lo <= total (map (centre c) ts) - e -> total (map (centre c) ts) + e <= o_hi ->
  half_ulp (storage A) (low Bs ts - e) (high Bs ts + e) <= gap ->
  follows A X p Bs (affine N (weight ts) c o_lo o_hi gap v).
Proof.
  intros C P v L vN S O O' G ys I Y.
  destruct (sum_follows A X p Bs m ts [] e C P L S ys I Y) as (z & _ & D & E). fold v in E.
  pose proof (exact_inside ys Bs ts (proj1 I)) as J. apply Rabs_le_inv in D.
  rewrite (exact_affine N c) in * by (revert L; apply Forall_impl; intros k; lia).
  set (l := sum N _) in *. exists z, (z - l). split; [fold l; ring|]. split; [lra|].
  destruct (rounded_inv _ _ _ E) as [-> _]. apply Rle_trans with (2 := G).
  apply fl_gap; [apply C | apply largest_end; lra].
Qed.

(** The rest relu x - a x is piecewise linear: its extremes are at the ends of the interval, or at
    0. *)
Lemma relu_ends l u x a b b' : l <= x <= u ->
  b <= Rmax 0 l - a * l <= b' -> b <= Rmax 0 u - a * u <= b' -> (l < 0 < u -> b <= 0 <= b') ->
  b <= Rmax 0 x - a * x <= b'.
Proof.
  intros I HL HU H0.
  destruct (Rle_or_lt 0 l) as [l0 | l0]; [|destruct (Rle_or_lt u 0) as [u0 | u0]].
  - rewrite (Rmax_right 0 l) in HL by lra. rewrite (Rmax_right 0 u) in HU by lra.
    rewrite Rmax_right by lra. destruct (Rle_or_lt a 1); nra.
  - rewrite (Rmax_left 0 l) in HL by lra. rewrite (Rmax_left 0 u) in HU by lra.
    rewrite Rmax_left by lra. destruct (Rle_or_lt a 0); nra.
  - specialize (H0 (conj l0 u0)). rewrite Rmax_left in HL by lra. rewrite Rmax_right in HU by lra.
    destruct (relu_any_slope l u x a ltac:(lra) I) as [H H'].
    split; [refine (Rle_trans _ _ _ _ H) | refine (Rle_trans _ _ _ H' _)];
      repeat apply Rmin_glb; repeat apply Rmax_lub; lra.
Qed.

(** A relation to one operand. *)
Lemma affine_one N a k c o_lo o_hi v ys : (k < N)%nat ->
  o_lo <= at_index ys v - a * (at_index ys k - c k) <= o_hi ->
  affine N (weight [Weighted a k]) c o_lo o_hi 0 v ys.
Proof.
  intros kN O. exists (at_index ys v), (at_index ys v - a * (at_index ys k - c k)).
  split; [|split; [easy|]].
  - assert (L : Forall (fun k => (k < N)%nat) (flat_map reads_of [Weighted a k]))
      by now repeat constructor.
    pose proof (exact_affine N c ys _ L) as E. unfold exact in E. simpl in E. lra.
  - rewrite Rminus_diag_eq, Rabs_R0 by easy. lra.
Qed.

(** A relu, exact in every format: any slope a; the rest is relu x - a x, and what a makes of the
    centre. Where the sign of x is known, a = 0 or 1 leaves no rest; else see [triangle]. *)
Theorem relu_relation A X p Bs N m (kernel : list R -> option R -> Prop) k c a b b' :
  (forall xs o, kernel xs o -> o = Some (Rmax 0 (at_index xs 0))) ->
  nth_error p m = Some (Local kernel [k]) ->
  let v := (length X + m)%nat in let B := box_at Bs k in
  (k < v)%nat -> (v <= N)%nat ->
  b <= Rmax 0 (fst B) - a * fst B <= b' -> b <= Rmax 0 (snd B) - a * snd B <= b' ->
  (fst B < 0 < snd B -> b <= 0 <= b') ->
  follows A X p Bs (affine N (weight [Weighted a k]) c (a * c k + b) (a * c k + b') 0 v).
Proof.
  intros K P v B kv vN HL HU H0 ys [I _] Y.
  assert (L : below v (Local kernel [k])) by now repeat constructor.
  specialize (K _ _ (Y m _ P L)). fold v in K. injection K as E.
  change (at_index _ 0) with (at_index ys k) in E.
  pose proof (relu_ends _ _ _ a b b' (inside_at ys Bs k I) HL HU H0) as H.
  apply affine_one; [lia | rewrite E; lra].
Qed.

(** The largest operand (max pooling), followed to operand i: it exceeds i by no more than the upper
    end of any other exceeds the lower end of i. *)
Theorem largest_relation A X p Bs N m (kernel : list R -> option R -> Prop) ks i c e :
  (forall xs o, kernel xs o -> exists x, o = Some x /\ In x xs /\ Forall (fun z => z <= x) xs) ->
  nth_error p m = Some (Local kernel ks) ->
  let v := (length X + m)%nat in
  below v (Local kernel ks) -> (v <= N)%nat -> In i ks -> 0 <= e ->
  (forall j, In j ks -> j <> i -> snd (box_at Bs j) - fst (box_at Bs i) <= e) ->
  follows A X p Bs (affine N (weight [Weighted 1 i]) c (c i) (c i + e) 0 v).
Proof.
  intros K P v L vN Hi e0 He ys [I _] Y.
  destruct (K _ _ (Y m _ P L)) as (x & E & M & T). fold v in E. injection E as E.
  unfold below in L. rewrite Forall_forall in L, T.
  specialize (T _ (in_map (at_index ys) ks i Hi)). apply in_map_iff in M as (j & <- & J).
  apply affine_one; [generalize (L i Hi); lia|]. rewrite E.
  destruct (Nat.eq_dec j i) as [-> | D]; [lra|]. specialize (He j J D).
  destruct (inside_at ys Bs i I), (inside_at ys Bs j I). lra.
Qed.
