(** * Contractions: an accepted interval of a sum holds in every execution.

    A node [Sum ts ds] adds its summands in any order, divides by constants and stores the result.
    The rule [accepts_sum] bounds it from the intervals of its operands. Here: the rule is sound
    ([errs_by_sound], [accepts_sum_sound]); so is its computed form, with midpoints and radii that
    need not be exact ([midpoint_form], [computed_form]); radius and error of the summation merge
    into one contraction ([merged_radius]). Depends on [Format], [Sum], [FirstForm]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum Orders FirstForm.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Division and the store *)

(** [finish] is monotone: between two ends that stay in range the result stays in range. *)
Lemma finish_between A ds x x' y l h :
  coherent A -> Forall (fun d => 0 < d) ds -> x <= y <= x' ->
  finish A ds x = Some l -> finish A ds x' = Some h ->
  exists z, finish A ds y = Some z /\ l <= z <= h /\ number (storage A) z.
Proof.
  intros [W [W' _]] P. revert x x' y.
  induction P as [| d ds D P IH]; simpl; intros x x' y I Hl Hh.
  - now apply rounded_between with x x'.
  - destruct (rounded (accumulator A) (x / d)) as [a|] eqn:Ea; [|easy].
    destruct (rounded (accumulator A) (x' / d)) as [b|] eqn:Eb; [|easy].
    assert (Q : x / d <= y / d <= x' / d)
      by (split; apply Rmult_le_compat_r; try apply I; now apply Rlt_le, Rinv_0_lt_compat).
    destruct (rounded_between _ _ _ _ _ _ W' Q Ea Eb) as (c & -> & J & _).
    now apply (IH a b c).
Qed.

(** ** 2. Totals *)

Lemma total_le {T} (f g : T -> R) l :
  (forall t, In t l -> f t <= g t) -> total (map f l) <= total (map g l).
Proof.
  induction l as [| t l IH]; intros H; simpl; [lra|].
  apply Rplus_le_compat; [apply H | apply IH; intros; apply H]; simpl; auto.
Qed.

Lemma total_linear {T} (f g : T -> R) a l :
  total (map (fun t => f t + a * g t) l) = total (map f l) + a * total (map g l).
Proof. induction l as [| t l IH]; simpl; [|rewrite IH]; ring. Qed.

(** The other quantities of [errs_by]. *)
Definition reachable (Bs : list interval) (ts : list summand) : R :=
  total (map (fun t => largest_in (range Bs t)) ts).
Definition all_leaves (A : arithmetic) (Bs : list interval) (ts : list summand) : R :=
  total (map (leaf_error A Bs) ts).
Definition additions (Bs : list interval) (ts : list summand) : R :=
  INR (length (filter (alive Bs) ts) - 1).

(** ** 3. One summand: what its interval says of its value *)

Lemma inside_largest x B : inside x B -> Rabs x <= largest_in B.
Proof.
  intros [H H']. now apply RmaxAbs.
Qed.

(** Beyond the end both lists read 0. *)
Lemma inside_at xs Bs k : Forall2 inside xs Bs -> inside (at_index xs k) (box_at Bs k).
Proof.
  intros H. revert k. unfold at_index, box_at.
  induction H as [| x B xs Bs I H IH]; intros [| k]; simpl; auto; split; simpl; lra.
Qed.

Lemma number_at F xs k : Forall (number F) xs -> number F (at_index xs k).
Proof.
  intros H. unfold at_index. revert k.
  induction H as [| x xs N H IH]; intros [| k]; simpl; auto using number_0.
Qed.

Lemma inside_scaled w x B :
  inside x B -> Rmin (w * fst B) (w * snd B) <= w * x <= Rmax (w * fst B) (w * snd B).
Proof.
  intros [H H']. destruct (Rle_dec 0 w) as [P | P].
  - split; [eapply Rle_trans; [apply Rmin_l|] | eapply Rle_trans; [|apply Rmax_r]]; nra.
  - split; [eapply Rle_trans; [apply Rmin_r|] | eapply Rle_trans; [|apply Rmax_l]]; nra.
Qed.

Lemma inside_range xs Bs t :
  Forall2 inside xs Bs -> inside (value (term_of xs t)) (range Bs t).
Proof.
  intros H. destruct t as [w k | k | c]; simpl.
  - apply inside_scaled. now apply inside_at.
  - now apply inside_at.
  - split; simpl; lra.
Qed.

(** A term that is not zero comes from a summand that is alive. *)
Lemma alive_of_value xs Bs t :
  Forall2 inside xs Bs -> value (term_of xs t) <> 0 -> alive Bs t = true.
Proof.
  intros H V. destruct (inside_range xs Bs t H) as [L U]. unfold alive.
  destruct (Req_bool_spec (fst (range Bs t)) 0), (Req_bool_spec (snd (range Bs t)) 0); try easy.
  elim V. lra.
Qed.

Lemma product_absolute_nonneg A : 0 <= product_absolute A.
Proof.
  unfold product_absolute. destruct flushes; [apply bpow_ge_0|].
  destruct Z.leb; [lra | apply bpow_ge_0].
Qed.

Lemma read_error_monotone A w x y : 0 <= x <= y -> 0 <= read_error A w x <= read_error A w y.
Proof.
  intros H. unfold read_error. destruct flushes; [|lra].
  pose proof (bpow_ge_0 radix2 (quantum (storage A) + precision (storage A) - 1)).
  fold (smallest_normal (storage A)) in *. pose proof (Rabs_pos w).
  destruct (Rlt_bool (Rabs w)); nra.
Qed.

Lemma largest_nonneg B : 0 <= largest_in B.
Proof. eapply Rle_trans; [apply Rabs_pos | apply Rmax_l]. Qed.

Lemma leaf_error_nonneg A Bs t : 0 <= leaf_error A Bs t.
Proof.
  unfold leaf_error. destruct alive; [|lra].
  destruct t as [w k | k | c]; try apply addition_absolute_nonneg.
  repeat apply Rplus_le_le_0_compat; try apply Rmult_le_pos;
    auto using product_relative_nonneg, product_absolute_nonneg, largest_nonneg.
  apply (read_error_monotone A w _ _ (conj (largest_nonneg _) (Rle_refl _))).
Qed.

Lemma leaf_le A xs Bs t :
  Forall2 inside xs Bs -> leaf A (term_of xs t) <= leaf_error A Bs t.
Proof.
  intros H. destruct (Req_dec (value (term_of xs t)) 0) as [Z | Z].
  { rewrite leaf_zero by easy. apply leaf_error_nonneg. }
  unfold leaf_error. rewrite (alive_of_value xs Bs t H Z).
  destruct t as [w k | k | c]; simpl in Z |- *; rewrite Req_bool_false by easy; try lra.
  apply Rplus_le_compat; [apply Rplus_le_compat_r, Rmult_le_compat_l|].
  - apply product_relative_nonneg.
  - apply inside_largest, (inside_range xs Bs (Weighted w k) H).
  - apply read_error_monotone. split; [apply Rabs_pos|]. now apply inside_largest, inside_at.
Qed.

Lemma term_fits A xs Bs t :
  coherent A -> Forall2 inside xs Bs -> Forall (number (storage A)) xs -> constants_fit A t ->
  fits A (term_of xs t).
Proof.
  intros C H N. destruct t as [w k | k | c]; simpl; intros F.
  - split; [easy | now apply number_at].
  - now apply number_in_accumulator, number_at.
  - apply F.
Qed.

Lemma count_le xs Bs ts :
  Forall2 inside xs Bs ->
  (count (map (term_of xs) ts) <= length (filter (alive Bs) ts))%nat.
Proof.
  intros H. unfold count. induction ts as [| t ts IH]; simpl; [lia|].
  destruct (Req_bool_spec (value (term_of xs t)) 0) as [Z | Z]; simpl.
  - destruct alive; simpl; lia.
  - rewrite (alive_of_value xs Bs t H Z). simpl. lia.
Qed.

(** ** 4. The rule is sound *)

(** The exact sum lies between the sums of the ends. *)
Lemma exact_inside xs Bs ts : Forall2 inside xs Bs ->
  low Bs ts <= exact (map (term_of xs) ts) <= high Bs ts.
Proof.
  intros I. unfold exact. rewrite map_map. split; apply total_le; intros; apply inside_range, I.
Qed.

Lemma magnitude_le xs Bs ts : Forall2 inside xs Bs ->
  magnitude (map (term_of xs) ts) <= reachable Bs ts.
Proof.
  intros I. unfold magnitude. rewrite map_map.
  apply total_le. intros t _. apply inside_largest, inside_range, I.
Qed.

Lemma terms_fit A xs Bs ts : coherent A -> Forall2 inside xs Bs ->
  Forall (number (storage A)) xs -> Forall (constants_fit A) ts ->
  Forall (fits A) (map (term_of xs) ts).
Proof.
  intros C I N F. rewrite Forall_map. revert F. apply Forall_impl. intros t.
  now apply term_fits with Bs.
Qed.

(** Before division and store: the sum is a number near the exact sum, in every order. S, s, E, n
    may be any upper bounds. *)
Lemma sum_within A xs Bs ts o n S s E :
  coherent A -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  Forall (constants_fit A) ts -> sums A (map (term_of xs) ts) o ->
  additions Bs ts <= n -> reachable Bs ts <= S ->
  Rmax (Rabs (low Bs ts)) (Rabs (high Bs ts)) <= s -> all_leaves A Bs ts <= E ->
  n * unit_roundoff (accumulator A) < 1 -> reach A n S s E <= Omega (accumulator A) ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - exact (map (term_of xs) ts)) <= sum_error A n S s E.
Proof.
  intros C H N F X Hn HS Hs HE K O. apply sums_bound; trivial.
  - now apply terms_fit with Bs.
  - exact (Rle_trans _ _ _ (magnitude_le xs Bs ts H) HS).
  - refine (Rle_trans _ _ _ _ Hs).
    exact (inside_largest _ (low Bs ts, high Bs ts) (exact_inside xs Bs ts H)).
  - refine (Rle_trans _ _ _ _ HE). unfold leaves. rewrite map_map.
    apply total_le. intros t _. now apply leaf_le.
  - refine (Rle_trans _ _ _ _ Hn). apply le_INR. generalize (count_le xs Bs ts H). lia.
Qed.

(** Either alternative of the rule: the bound of [Sum.v], or the first form. *)
Theorem errs_by_sound A xs Bs ts o e :
  coherent A -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  Forall (constants_fit A) ts -> sums A (map (term_of xs) ts) o -> errs_by A Bs ts e ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - exact (map (term_of xs) ts)) <= e.
Proof.
  intros C H N F X [(K & O & ->) | (Hf & O & ->)].
  - apply sum_within with Bs; trivial; apply Rle_refl.
  - apply first_form_bound; trivial; [now apply terms_fit with Bs | | now apply count_le].
    now apply magnitude_le.
Qed.

(** An accepted interval holds the stored result of every execution, which stays in range. *)
Theorem accepts_sum_sound A xs Bs ts ds B o :
  coherent A -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  accepts_sum A Bs ts ds B -> step A (Sum ts ds) xs o ->
  exists y, o = Some y /\ inside y B /\ number (storage A) y.
Proof.
  intros C H N (F & P & e & l & h & He & Hl & L & Hh & U) (s & X & ->).
  destruct (errs_by_sound A xs Bs ts s e C H N F X He) as (y & -> & Ny & D).
  assert (I := exact_inside xs Bs ts H). apply Rabs_le_inv in D.
  assert (W := proj1 (proj2 C)).
  eapply finish_between with (y := y) in Hh as (z & E & J & M); try exact Hl; trivial.
  - exists z. unfold inside. repeat split; trivial; lra.
  - split; [apply fl_up_le | apply fl_down_ge]; trivial; lra.
Qed.

(** ** 5. Midpoints and radii *)

(** Every box lies in [mid - rad, mid + rad]; the midpoint may be inexact. *)
Definition covers (mid rad : nat -> R) (Bs : list interval) : Prop :=
  forall k, mid k - rad k <= fst (box_at Bs k) /\ fst (box_at Bs k) <= snd (box_at Bs k) /\
            snd (box_at Bs k) <= mid k + rad k.

Definition centre (mid : nat -> R) (t : summand) : R :=
  match t with Weighted w k => w * mid k | Entry k => mid k | Constant c => c end.
Definition spread (rad : nat -> R) (t : summand) : R :=
  match t with Weighted w k => Rabs w * rad k | Entry k => rad k | Constant _ => 0 end.
Definition extent (mid rad : nat -> R) (t : summand) : R :=
  match t with
  | Weighted w k => Rabs w * (Rabs (mid k) + rad k)
  | Entry k => Rabs (mid k) + rad k
  | Constant c => Rabs c
  end.

Lemma largest_le B c r :
  fst B <= snd B -> c - r <= fst B -> snd B <= c + r -> largest_in B <= Rabs c + r.
Proof.
  intros M L U. unfold largest_in.
  apply Rmax_lub; unfold Rabs; repeat destruct Rcase_abs; lra.
Qed.

(** One summand: a weight w maps mid - rad .. mid + rad into w mid -+ |w| rad. *)
Lemma range_midpoint mid rad Bs t :
  covers mid rad Bs ->
  centre mid t - spread rad t <= fst (range Bs t) /\
  snd (range Bs t) <= centre mid t + spread rad t /\
  largest_in (range Bs t) <= extent mid rad t.
Proof.
  intros H. destruct t as [w k | k | c]; cbn [centre spread extent].
  - assert (I : forall x, inside x (box_at Bs k) ->
              w * mid k - Rabs w * rad k <= w * x <= w * mid k + Rabs w * rad k).
    { intros x [I I']. destruct (H k). unfold Rabs. destruct Rcase_abs; split; nra. }
    destruct (H k) as (_ & M & _).
    assert (L := I (fst (box_at Bs k)) ltac:(split; lra)).
    assert (U := I (snd (box_at Bs k)) ltac:(split; lra)).
    assert (P : fst (range Bs (Weighted w k)) <= snd (range Bs (Weighted w k)))
      by exact (Rle_trans _ _ _ (Rmin_l _ _) (Rmax_l _ _)).
    assert (Q : w * mid k - Rabs w * rad k <= fst (range Bs (Weighted w k)))
      by (apply Rmin_glb; lra).
    assert (Q' : snd (range Bs (Weighted w k)) <= w * mid k + Rabs w * rad k)
      by (apply Rmax_lub; lra).
    split; [easy|]. split; [easy|].
    rewrite Rmult_plus_distr_l, <- Rabs_mult. now apply largest_le.
  - destruct (H k) as (L & M & U). repeat split; trivial. now apply largest_le.
  - simpl. rewrite <- (Rplus_0_r (Rabs c)) at 1.
    repeat split; try lra. apply largest_le; simpl; lra.
Qed.

(** The whole sum, at p = sum of w mid + b and r = sum of |w| rad. *)
Theorem midpoint_form mid rad Bs ts :
  covers mid rad Bs ->
  let p := total (map (centre mid) ts) in
  let r := total (map (spread rad) ts) in
  p - r <= low Bs ts /\ high Bs ts <= p + r /\
  reachable Bs ts <= total (map (extent mid rad) ts).
Proof.
  intros H p r.
  assert (G : forall a, total (map (fun t => centre mid t + a * spread rad t) ts) = p + a * r)
    by (intros a; apply total_linear).
  assert (G1 := G 1). assert (G2 := G (-1)). unfold low, high, reachable.
  split; [|split; [|apply total_le; intros; apply range_midpoint, H]].
  - replace (p - r) with (p + -1 * r) by ring. rewrite <- G2. apply total_le. intros t _.
    destruct (range_midpoint mid rad Bs t H) as (L & _). lra.
  - replace (p + r) with (p + 1 * r) by ring. rewrite <- G1. apply total_le. intros t _.
    destruct (range_midpoint mid rad Bs t H) as (_ & U & _). lra.
Qed.

Lemma low_le_high mid rad Bs ts : covers mid rad Bs -> low Bs ts <= high Bs ts.
Proof.
  intros H. apply total_le. intros [w k | k | c] _; simpl.
  - exact (Rle_trans _ _ _ (Rmin_l _ _) (Rmax_l _ _)).
  - apply H.
  - lra.
Qed.

(** The rule as it is computed, from any quantities such that: [p] errs by [g]; [r], [S], [E], [n],
    [a] are upper bounds of the radius, the magnitude, the leaves' errors, the number of additions
    and the error of the sum; the ends go outward by all of them, and then perhaps inward to numbers
    of the accumulator. *)
Definition accepts_computed (A : arithmetic) (Bs : list interval) (ts : list summand) (ds : list R)
    (B : interval) : Prop :=
  exists mid rad p g r S E n a x x' y y',
    covers mid rad Bs /\ Forall (constants_fit A) ts /\ Forall (fun d => 0 < d) ds /\
    Rabs (p - total (map (centre mid) ts)) <= g /\ total (map (spread rad) ts) <= r /\
    total (map (extent mid rad) ts) <= S /\ all_leaves A Bs ts <= E /\ additions Bs ts <= n /\
    n * unit_roundoff (accumulator A) < 1 /\
    reach A n S (Rabs p + g + r) E <= Omega (accumulator A) /\
    sum_error A n S (Rabs p + g + r) E <= a /\
    x <= fl_up (accumulator A) (p - r - g - a) /\ finish A ds x = Some y /\ fst B <= y /\
    fl_down (accumulator A) (p + r + g + a) <= x' /\ finish A ds x' = Some y' /\ y' <= snd B.

(** [p - r - g] and [p + r + g] are ends of the exact sum. *)
Lemma computed_ends mid rad Bs ts p g r :
  covers mid rad Bs -> Rabs (p - total (map (centre mid) ts)) <= g ->
  total (map (spread rad) ts) <= r ->
  p - r - g <= low Bs ts /\ high Bs ts <= p + r + g /\
  Rmax (Rabs (low Bs ts)) (Rabs (high Bs ts)) <= Rabs p + g + r.
Proof.
  intros H Hp Hr. destruct (midpoint_form mid rad Bs ts H) as (L & U & _).
  apply Rabs_le_inv in Hp. assert (M := low_le_high mid rad Bs ts H).
  split; [lra|]. split; [lra|]. rewrite Rplus_assoc.
  apply (largest_le (low Bs ts, high Bs ts)); simpl; lra.
Qed.

Theorem computed_form A Bs ts ds B xs o :
  coherent A -> accepts_computed A Bs ts ds B ->
  Forall2 inside xs Bs -> Forall (number (storage A)) xs -> step A (Sum ts ds) xs o ->
  exists z, o = Some z /\ inside z B /\ number (storage A) z.
Proof.
  intros C (mid & rad & p & g & r & S & E & n & a & x & x' & y & y' & H & F & P & Hp & Hr & HS & HE
    & Hn & K & O & Ha & Hx & Hy & L & Hx' & Hy' & U) I N (s & X & ->).
  destruct (computed_ends mid rad Bs ts p g r H Hp Hr) as (M & M' & Hs).
  destruct (midpoint_form mid rad Bs ts H) as (_ & _ & M3).
  destruct (sum_within A xs Bs ts s n S (Rabs p + g + r) E) as (z & -> & Nz & J); trivial.
  - now apply Rle_trans with (1 := M3).
  - assert (W := proj1 (proj2 C)). assert (G := exact_inside xs Bs ts I). apply Rabs_le_inv in J.
    destruct (finish_between A ds x x' z y y' C P) as (v & -> & V & Nv); trivial.
    + split; [apply Rle_trans with (1 := Hx), fl_up_le
             |apply Rle_trans with (2 := Hx'), fl_down_ge]; trivial; lra.
    + exists v. unfold inside. repeat split; trivial; lra.
Qed.

(** ** 6. Radius and accumulation error in one contraction *)

(** What a summand adds to the merged radius, with k' = n u / (1 - n u). *)
Definition merged (k' : R) (mid rad : nat -> R) (t : summand) : R :=
  match t with
  | Weighted w k => Rabs w * (rad k + k' / 2 * (Rabs (mid k) + rad k))
  | Entry k => rad k + k' / 2 * (Rabs (mid k) + rad k)
  | Constant c => k' / 2 * Rabs c
  end.

(** DESIGN, section 3: r + a <= R (1 + k'/2) + k'/2 |p| + (E + n f)/(1 - n u), where a is the bound
    of the summation's error at Q = (S + |p| + r)/2. Indeed R = r + k'/2 S, and r <= R. *)
Theorem merged_radius A n E p mid rad ts :
  0 <= n -> n * unit_roundoff (accumulator A) < 1 -> 0 <= E -> (forall k, 0 <= rad k) ->
  let u := unit_roundoff (accumulator A) in
  let k' := n * u / (1 - n * u) in
  let r := total (map (spread rad) ts) in
  let S := total (map (extent mid rad) ts) in
  let R := total (map (merged k' mid rad) ts) in
  r + sum_error A n S (Rabs p + r) E <=
    R * (1 + k' / 2) + k' / 2 * Rabs p + (E + n * addition_absolute A) / (1 - n * u).
Proof.
  intros Hn K HE Hrad u k' r S R.
  assert (Hk : 0 <= k').
  { apply Rmult_le_pos; [|apply Rlt_le, Rinv_0_lt_compat; unfold u; lra].
    now apply Rmult_le_pos, bpow_ge_0. }
  assert (Hr : 0 <= r).
  { apply total_nonneg. intros []; simpl; [apply Rmult_le_pos| |lra]; auto using Rabs_pos. }
  assert (HS : 0 <= S).
  { assert (Q := fun k => Rplus_le_le_0_compat _ _ (Rabs_pos (mid k)) (Hrad k)).
    apply total_nonneg. intros []; simpl; auto using Rabs_pos, Rmult_le_pos. }
  assert (HR : R = r + k' / 2 * S).
  { unfold R, r, S. rewrite <- total_linear. f_equal. apply map_ext.
    intros []; simpl; ring. }
  assert (Hp := Rabs_pos p).
  assert (Ha := binade_never_worse A n S (Rabs p + r) E HS ltac:(lra) HE Hn K). fold u in Ha, K.
  apply Rle_trans with (1 := Rplus_le_compat_l r _ _ Ha).
  replace ((E + n * (u * ((S + (Rabs p + r)) / 2) + addition_absolute A)) / (1 - n * u))
    with (k' * ((S + (Rabs p + r)) / 2) + (E + n * addition_absolute A) / (1 - n * u))
    by (unfold k'; field; lra).
  rewrite HR. assert (0 <= k' * k' * S) by auto using Rmult_le_pos. nra.
Qed.
