(** * Rounding cells, and linear relaxations of the staircase

    Rounding is a nondecreasing staircase. So if the value before rounding lies in [a, b], the
    stored value lies in the cell [fl a, fl b]; if both ends round to one number, every execution
    has that number. The same holds for any composition of roundings and for relu after them.

    A linear functional of the outputs is followed back through the staircase by a line of any
    slope s in [0, 1]: [staircase] bounds fl y - s y, [staircase_centred] is the same for
    deviations from arbitrary centres, [staircase_two_roundings] is for a value that is rounded to
    the accumulator first. The noise of one slope does not fit another ([slope_one_noise_fails]).
    [relu_any_slope] is the relaxation of a relu whose input may have either sign.

    Main results: [rounding_cell], [determinacy], [inward_ends], [staircase_centred],
    [staircase_two_roundings], [staircase_general]. Depends on: [Statement.v], [Format.v]. *)

From Coq Require Import Reals List ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Cells *)

Definition monotone (f : R -> R) : Prop := forall x y, x <= y -> f x <= f y.

(** The cell of a monotone map: its values at both ends bound it between them. *)
Lemma monotone_cell f a b y : monotone f -> a <= y <= b -> f a <= f y <= f b.
Proof. intros m [ay yb]. now split; apply m. Qed.

(** If both ends of a cell are one number, no error is passed on: every execution has it. *)
Theorem determinacy f a b y : monotone f -> f a = f b -> a <= y <= b -> f y = f a.
Proof. intros m e H. destruct (monotone_cell f a b y m H). lra. Qed.

(** Maps that are applied one after the other; the first of the list is the last applied. *)
Definition composition (fs : list (R -> R)) (x : R) : R := fold_right (fun f y => f y) x fs.

Lemma monotone_composition fs : Forall monotone fs -> monotone (composition fs).
Proof. intros H x y xy. induction H as [|f fs m _ IH]; simpl; auto. Qed.

(** Every rounding to F is monotone: to nearest, upward, downward, toward zero, any tie rule. *)
Lemma monotone_rounding F (rnd : R -> Z) :
  Valid_rnd rnd -> well_formed F -> monotone (round radix2 (fexp F) rnd).
Proof. intros v w x y xy. apply fexp_valid in w. now apply round_le. Qed.

Lemma monotone_roundings F :
  well_formed F -> monotone (fl F) /\ monotone (fl_up F) /\ monotone (fl_down F).
Proof. intros w. repeat split; (apply monotone_rounding; [typeclasses eauto|exact w]). Qed.

(** The stored value lies in the cell of the value before rounding. *)
Theorem rounding_cell F a b y : well_formed F -> a <= y <= b -> fl F a <= fl F y <= fl F b.
Proof. intros w. apply monotone_cell, (monotone_roundings F w). Qed.

(** Where a kernel rounds twice, the cells are those of the composition. *)
Theorem cell_of_composition F G a b y : well_formed F -> well_formed G -> a <= y <= b ->
  fl G (fl F a) <= fl G (fl F y) <= fl G (fl F b).
Proof. intros wF wG H. now apply rounding_cell, rounding_cell. Qed.

(** Where the rounding is not known, not even its tie rule: directed ends. Every rounding gives one
    of the two neighbours. *)
Theorem unknown_rounding F (rnd : R -> Z) a b y : Valid_rnd rnd -> well_formed F -> a <= y <= b ->
  fl_down F a <= round radix2 (fexp F) rnd y <= fl_up F b.
Proof.
  intros v w [ay yb]. destruct (monotone_roundings F w) as (_ & up & down).
  pose proof (down _ _ ay). pose proof (up _ _ yb).
  pose proof (fl_down_le F y w). pose proof (fl_up_ge F y w).
  destruct (round_DN_or_UP radix2 (fexp F) rnd y) as [e|e]; rewrite e;
    change (round radix2 (fexp F) Zfloor) with (fl_down F);
    change (round radix2 (fexp F) Zceil) with (fl_up F); lra.
Qed.

(** Ends of an accumulator may be rounded inward: between a and [fl_up] a there is no number. *)
Theorem inward_ends F S a b t : well_formed F -> well_formed S -> number F t -> a <= t <= b ->
  fl_up F a <= t <= fl_down F b /\ fl S (fl_up F a) <= fl S t <= fl S (fl_down F b).
Proof.
  intros wF wS n [a_t t_b].
  assert (H : fl_up F a <= t <= fl_down F b)
    by (split; [now apply fl_up_le | now apply fl_down_ge]).
  split; [exact H | now apply rounding_cell].
Qed.

(** ** 2. The staircase and a line *)

(** Half an ulp of a larger number is enough. *)
Lemma fl_gap F x size : well_formed F -> Rabs x <= size ->
  Rabs (fl F x - x) <= / 2 * ulp radix2 (fexp F) size.
Proof.
  intros w H. pose proof (fl_half_ulp F x w).
  assert (ulp radix2 (fexp F) x <= ulp radix2 (fexp F) size); [|lra].
  apply (@ulp_le radix2 (fexp F) (fexp_valid F w) (FLT_exp_monotone _ _)).
  now rewrite (Rabs_pos_eq size) by (pose proof (Rabs_pos x); lra).
Qed.

(** A number between two others is no larger than the larger of them. *)
Lemma largest_end a b y : a <= y <= b -> Rabs y <= Rmax (Rabs a) (Rabs b).
Proof. intros [H H']. now apply RmaxAbs. Qed.

(** Any slope. The deviation of v from its centre is s times that of y and a noise n, whose bounds
    use the cell [lo, hi] of v for the part 1 - s and |v - y| <= h for the part s:
    v - c - s l = (1 - s)(v - c) + s (v - y) + s (o - c), where y = l + o, o in [o_lo, o_hi]. *)
Theorem staircase_general s v y c l o lo hi h o_lo o_hi : 0 <= s <= 1 ->
  lo <= v <= hi -> Rabs (v - y) <= h -> y = l + o -> o_lo <= o <= o_hi ->
  (1 - s) * (lo - c) + s * (o_lo - h - c) <= v - c - s * l
    <= (1 - s) * (hi - c) + s * (o_hi + h - c).
Proof. intros Hs Hv Hh -> Ho. apply Rabs_le_inv in Hh. nra. Qed.

(** The staircase without centres: fl y - s y = (1 - s) fl y + s (fl y - y). *)
Lemma line_through f yl yh y s h : monotone f -> yl <= y <= yh -> 0 <= s <= 1 ->
  Rabs (f y - y) <= h ->
  (1 - s) * f yl - s * h <= f y - s * y <= (1 - s) * f yh + s * h.
Proof.
  intros m Hy Hs Hh. pose proof (monotone_cell f yl yh y m Hy) as Hv.
  pose proof (staircase_general s (f y) y 0 y 0 (f yl) (f yh) h 0 0 Hs Hv Hh ltac:(lra) ltac:(lra)).
  lra.
Qed.

(** What one rounding may err: half an ulp of the larger end. *)
Definition half_ulp (F : format) (yl yh : R) : R :=
  / 2 * ulp radix2 (fexp F) (Rmax (Rabs yl) (Rabs yh)).

Theorem staircase F yl yh y s : well_formed F -> yl <= y <= yh -> 0 <= s <= 1 ->
  let h := half_ulp F yl yh in
  (1 - s) * fl F yl - s * h <= fl F y - s * y <= (1 - s) * fl F yh + s * h.
Proof.
  intros w Hy Hs h. apply line_through; auto; [now apply monotone_roundings|].
  now apply fl_gap, largest_end.
Qed.

(** The same for deviations from centres, which may be any numbers: the interval of nu. *)
Theorem staircase_centred F yl yh y s y_c v_c : well_formed F -> yl <= y <= yh -> 0 <= s <= 1 ->
  let h := half_ulp F yl yh in
  (1 - s) * fl F yl - s * h - v_c + s * y_c <= (fl F y - v_c) - s * (y - y_c)
    <= (1 - s) * fl F yh + s * h - v_c + s * y_c.
Proof. intros w Hy Hs h. pose proof (staircase F yl yh y s w Hy Hs). fold h in H. lra. Qed.

(** After a first rounding to M the second one, to S, errs by half an ulp of S at the size of y
    itself. The first rounding may leave the binade only to reach the next power of two, which is a
    number of S and is not rounded again (or, below S's numbers, has the same ulp). *)
Lemma fl_after_gap M S y size : well_formed M -> well_formed S -> Rabs y <= size ->
  Rabs (fl S (fl M y) - fl M y) <= / 2 * ulp radix2 (fexp S) size.
Proof.
  intros wM wS H. set (x := fl M y).
  destruct (Rle_or_lt (Rabs x) size) as [small|large]; [now apply fl_gap|].
  pose proof (fexp_valid M wM) as vM.
  pose proof (precision_positive M wM) as pM. pose proof (precision_positive S wS) as pS.
  assert (y0 : y <> 0).
  { intros ->. unfold x in large. rewrite fl_0, Rabs_R0 in *. lra. }
  assert (size_pos : 0 < size) by (pose proof (Rabs_pos_lt y y0); lra).
  assert (x0 : x <> 0) by (intros e; rewrite e, Rabs_R0 in large; lra).
  pose proof (bpow_mag_gt radix2 size) as below. rewrite Rabs_pos_eq in below by lra.
  set (e := mag radix2 size : Z) in *.
  assert (in_M : (quantum M <= e)%Z).
  { apply Z.nlt_ge. intros small. apply x0. unfold x, fl.
    destruct (mag radix2 y) as [ey Hy]; specialize (Hy y0).
    apply round_N_small with (ex := ey); [exact Hy|].
    assert (ey - 1 < e)%Z by (apply (lt_bpow radix2); lra). unfold fexp, FLT_exp. lia. }
  assert (up_to : Rabs x <= bpow radix2 e).
  { apply abs_round_le_generic; [exact vM|typeclasses eauto| |lra].
    now apply generic_format_FLT_bpow. }
  destruct up_to as [inner|power].
  - assert (same : mag radix2 x = e :> Z).
    { apply Z.le_antisymm; [now apply mag_le_bpow|].
      apply mag_le_abs; [lra|]. rewrite (Rabs_pos_eq size); lra. }
    replace (ulp radix2 (fexp S) size) with (ulp radix2 (fexp S) x); [now apply fl_half_ulp|].
    rewrite !ulp_neq_0 by lra. unfold cexp. now rewrite same.
  - destruct (Z.le_gt_cases (quantum S) e) as [in_S|under].
    + rewrite fl_id, Rminus_diag_eq, Rabs_R0; try easy.
      * pose proof (ulp_ge_0 radix2 (fexp S) size). lra.
      * apply generic_format_abs_inv. rewrite power. now apply generic_format_FLT_bpow.
    + assert (lower : bpow radix2 e < bpow radix2 (quantum S + precision S))
        by (apply bpow_lt; red in pS; lia).
      replace (ulp radix2 (fexp S) size) with (ulp radix2 (fexp S) x); [now apply fl_half_ulp|].
      unfold fexp. rewrite !ulp_FLT_small; auto; [rewrite Rabs_pos_eq|]; lra.
Qed.

(** Two roundings: h is the sum of both half ulps, both at the size of y before any rounding. *)
Theorem staircase_two_roundings M S yl yh y s : well_formed M -> well_formed S ->
  yl <= y <= yh -> 0 <= s <= 1 ->
  let h := half_ulp S yl yh + half_ulp M yl yh in
  Rabs (fl S (fl M y) - y) <= h /\
  (1 - s) * fl S (fl M yl) - s * h <= fl S (fl M y) - s * y <= (1 - s) * fl S (fl M yh) + s * h.
Proof.
  intros wM wS Hy Hs h. pose proof (largest_end yl yh y Hy) as size.
  assert (gap : Rabs (fl S (fl M y) - y) <= h).
  { pose proof (fl_gap M y _ wM size) as one. pose proof (fl_after_gap M S y _ wM wS size) as two.
    replace (fl S (fl M y) - y) with ((fl S (fl M y) - fl M y) + (fl M y - y)) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. unfold h, half_ulp. lra. }
  split; [exact gap|]. apply (line_through (fun x => fl S (fl M x))); auto.
  intros x x' H. now apply (fl_monotone S), (fl_monotone M).
Qed.

(** ** 3. The noise of one slope does not fit another *)

Lemma number_of_integer F m e : (Z.abs m < 2 ^ precision F)%Z -> (quantum F <= e)%Z ->
  number F (IZR m * bpow radix2 e).
Proof. intros Hm He. apply generic_format_FLT. now exists (Float radix2 m e). Qed.

(** y in [1, 1 + 10 ulp] and its cell have the same midpoint. For slope 1 a noise of half an ulp is
    enough; for slope 1/2 it is not: at y = 1 the noise is 5/2 ulp. *)
Theorem slope_one_noise_fails :
  let ulp1 := bpow radix2 (-10) in
  let yl := 1 in let yh := 1 + 10 * ulp1 in let c := 1 + 5 * ulp1 in
  fl binary16 yl = yl /\ fl binary16 yh = yh /\
  half_ulp binary16 yl yh = / 2 * ulp1 /\
  (forall y, yl <= y <= yh ->
     Rabs ((fl binary16 y - c) - 1 * (y - c)) <= half_ulp binary16 yl yh) /\
  exists y, yl <= y <= yh /\
     Rabs ((fl binary16 y - c) - / 2 * (y - c)) = 5 * half_ulp binary16 yl yh.
Proof.
  intros ulp1 yl yh c. pose proof binary16_well_formed as w.
  assert (u : ulp1 = / 1024) by reflexivity.
  assert (h : half_ulp binary16 yl yh = / 2 * ulp1).
  { unfold half_ulp, yl, yh. rewrite u, !Rabs_pos_eq, Rmax_right, ulp_neq_0 by lra.
    unfold cexp. rewrite (mag_unique radix2 _ 1); [rewrite <- u; reflexivity|].
    rewrite Rabs_pos_eq by lra. simpl. lra. }
  assert (ends : fl binary16 yl = yl /\ fl binary16 yh = yh).
  { split; apply fl_id; try exact w.
    - replace yl with (IZR 1 * bpow radix2 0) by (unfold yl; simpl; ring).
      now apply number_of_integer.
    - replace yh with (IZR 1034 * bpow radix2 (-10)) by (unfold yh; fold ulp1; lra).
      now apply number_of_integer. }
  repeat split; try apply ends; [exact h| |].
  - intros y Hy. replace (fl binary16 y - c - 1 * (y - c)) with (fl binary16 y - y) by ring.
    now apply fl_gap, largest_end.
  - exists yl. rewrite h, (proj1 ends). split; [unfold yl, yh; lra|].
    unfold yl, c. rewrite Rabs_left; lra.
Qed.

(** ** 4. Relu *)

Definition positive_part (x : R) : R := Rmax 0 x.

Lemma relu_monotone : monotone positive_part.
Proof. intros x y xy. now apply Rle_max_compat_l. Qed.

(** Relu, the positive part, commutes with rounding, so that both are one step: one cell, and the
    noise of one. *)
Theorem relu_cell F : well_formed F ->
  (forall y, positive_part (fl F y) = fl F (positive_part y)) /\
  monotone (fun y => positive_part (fl F y)).
Proof.
  intros w. split; [|intros x y xy; now apply relu_monotone, fl_monotone].
  intros y. unfold positive_part. destruct (Rle_or_lt 0 y) as [H|H].
  - pose proof (fl_monotone F 0 y w H). rewrite fl_0 in *. now rewrite !Rmax_right.
  - pose proof (fl_monotone F y 0 w ltac:(lra)). rewrite fl_0 in *.
    rewrite !Rmax_left, ?fl_0; lra.
Qed.

(** A relu whose input may have either sign lies below its chord and above each line through 0
    with slope in [0, 1]. *)
Theorem triangle l u x a : l < 0 < u -> l <= x <= u -> 0 <= a <= 1 ->
  a * x <= positive_part x <= u / (u - l) * (x - l).
Proof.
  intros [l0 u0] Hx Ha. unfold positive_part.
  split; [apply Rmax_case_strong; nra|].
  apply Rmult_le_reg_r with (u - l); [lra|].
  replace (u / (u - l) * (x - l) * (u - l)) with (u * (x - l)) by (field; lra).
  apply Rmax_case_strong; nra.
Qed.

(** With any slope: relu x - a x is piecewise linear, so its extremes are at the ends or at 0. *)
Theorem relu_any_slope l u x a : l <= 0 <= u -> l <= x <= u ->
  Rmin 0 (Rmin (- a * l) (u - a * u)) <= positive_part x - a * x
    <= Rmax 0 (Rmax (- a * l) (u - a * u)).
Proof.
  intros [l0 u0] Hx. unfold positive_part.
  pose proof (Rmin_l 0 (Rmin (- a * l) (u - a * u))).
  pose proof (Rmin_r 0 (Rmin (- a * l) (u - a * u))).
  pose proof (Rmin_l (- a * l) (u - a * u)). pose proof (Rmin_r (- a * l) (u - a * u)).
  pose proof (Rmax_l 0 (Rmax (- a * l) (u - a * u))).
  pose proof (Rmax_r 0 (Rmax (- a * l) (u - a * u))).
  pose proof (Rmax_l (- a * l) (u - a * u)). pose proof (Rmax_r (- a * l) (u - a * u)).
  destruct (Rle_or_lt a 0), (Rle_or_lt a 1); apply Rmax_case_strong; intros; nra.
Qed.
