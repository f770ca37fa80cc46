(** * Networks: accepted intervals hold in every execution of a program, so the theorem holds.

    By induction over the nodes, each stored value of each execution is a number of its accepted
    interval; that no execution leaves the range is a consequence, not a premise
    ([enclosure_sound]). The pairwise test then decides the argmax ([agreement_holds]). The second
    half shows that this is not empty: every sum has an execution ([sum_execution_exists]), every
    program has one ([execution_exists]), in range where intervals are accepted
    ([in_range_execution_exists]), and one program and input can have two that differ
    ([two_executions]). Last, an interval that was computed with bounds of every quantity is
    accepted ([computed_accepts]). Depends on [Format], [Sum], [Contraction]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum Contraction.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Every execution is enclosed *)

Lemma inside_map xs Bs ks :
  Forall2 inside xs Bs -> Forall2 inside (map (at_index xs) ks) (map (box_at Bs) ks).
Proof. intros H. induction ks; simpl; constructor; auto using inside_at. Qed.

(** One node: an accepted interval holds, and the node does not leave the range. *)
Lemma node_sound A v xs Bs B o :
  coherent A -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  accepts A Bs v B -> step A v xs o ->
  exists y, o = Some y /\ inside y B /\ number (storage A) y.
Proof.
  intros C H N. destruct v as [ts ds | kernel ks].
  - now apply accepts_sum_sound.
  - simpl. intros K X. apply (K (map (at_index xs) ks)); trivial.
    + now apply inside_map.
    + apply Forall_map, Forall_forall. intros. now apply number_at.
Qed.

(** Every execution of the program stays in range and inside the accepted intervals. *)
Theorem enclosure_sound A p xs o Bs Bs' :
  coherent A -> encloses A p Bs Bs' -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  runs A p xs o ->
  exists ys, o = Some ys /\ Forall2 inside ys Bs' /\ Forall (number (storage A)) ys.
Proof.
  intros C G H N X. revert Bs G H N.
  induction X as [xs | v p xs y o T X IH | v p xs T]; intros Bs G H N; inversion G; subst.
  - now exists xs.
  - destruct (node_sound A v xs Bs B (Some y)) as (z & E & I & M); trivial. injection E as <-.
    apply (IH (Bs ++ [B])); trivial.
    + apply Forall2_app; auto.
    + apply Forall_app; auto.
  - now destruct (node_sound A v xs Bs B None) as (z & E & _).
Qed.

(** ** 2. The theorem *)

Lemma inside_length xs Bs : Forall2 inside xs Bs -> length xs = length Bs.
Proof. intros H. induction H; simpl; auto. Qed.

(** Intervals that pass the pairwise test decide the argmax of any numbers inside. *)
Lemma leads_top i zs Bs : Forall2 inside zs Bs -> leads i Bs -> top i zs.
Proof.
  intros H [L T]. unfold top. rewrite (inside_length _ _ H). split; [easy|]. intros j J D.
  assert (P := inside_at zs Bs i H). assert (Q := inside_at zs Bs j H).
  specialize (T j J D). unfold inside, at_index, box_at in *. lra.
Qed.

Lemma always_top_sound A P xs Bs Bs' i :
  coherent A -> encloses A (nodes P) Bs Bs' -> leads i (map (box_at Bs') (outputs P)) ->
  Forall2 inside xs Bs -> Forall (number (storage A)) xs -> always_top A P xs i.
Proof.
  intros C G L H N o X.
  destruct (enclosure_sound A (nodes P) xs o Bs Bs' C G H N X) as (ys & -> & I & _).
  exists ys. split; [easy|]. eapply leads_top, L. now apply inside_map.
Qed.

(** The agreement theorem. The input of the second program is rounded into the box's cells. *)
Theorem agreement_holds : agreement.
Proof.
  intros A32 A16 M32 M16 X Bs32 Bs16 i C32 C16 cell G32 L32 G16 L16 _ x H N. split.
  - now apply always_top_sound with X Bs32.
  - apply always_top_sound with (map cell X) Bs16; trivial.
    + clear - C16 H. induction H as [| x B xs Bs [L U] H IH]; simpl; constructor; trivial.
      split; apply fl_monotone; trivial; apply C16.
    + apply Forall_map, Forall_forall. intros y _. apply fl_number, C16.
Qed.

(** ** 3. Executions exist *)

Lemma sums_zeros A l l' o : count l = O -> sums A l' o -> sums A (l ++ l') o.
Proof.
  unfold count. intros Z X. induction l as [| t l IH]; simpl in *; [easy|].
  destruct (Req_bool_spec (value t) 0) as [V | V]; simpl in Z; [|discriminate].
  apply sums_zero; auto.
Qed.

Lemma sum_of_one A t : exists o, sums A [t] o.
Proof.
  destruct t as [a b | c].
  - eexists. apply sums_product with a b; now left.
  - exists (Some c). apply sums_number. now left.
Qed.

(** Every sum can be executed: add the terms one by one. *)
Theorem sum_execution_exists A l : exists o, sums A l o.
Proof.
  induction l as [| t l [o X]]; [exists (Some 0); apply sums_nothing|].
  destruct (Req_dec (value t) 0) as [Z | Z]; [exists o; now apply sums_zero|].
  destruct (sum_of_one A t) as [[s |] T]; [|exists None; exact (sums_overflow A [t] l T)].
  assert (K : count [t] <> O) by (unfold count; simpl; now rewrite Req_bool_false).
  destruct (Nat.eq_dec (count l) 0) as [D | D].
  - exists (Some s). apply sums_permuted with (l ++ [t]); [|now apply sums_zeros].
    apply Permutation_sym, Permutation_cons_append.
  - destruct o as [s' |].
    + eexists. apply (sums_addition A [t] l s s' _ K D T X). now left.
    + exists None. apply sums_permuted with (l ++ [t]); [|now apply sums_overflow].
      apply Permutation_sym, Permutation_cons_append.
Qed.

(** Every local kernel stores something, or leaves the range. *)
Definition total_kernels (p : list node) : Prop :=
  Forall (fun v => match v with
                   | Sum _ _ => True
                   | Local kernel _ => forall xs, exists o, kernel xs o
                   end) p.

Theorem execution_exists A p xs : total_kernels p -> exists o, runs A p xs o.
Proof.
  intros T. revert xs. induction T as [| v p K T IH]; intros xs; [exists (Some xs); constructor|].
  assert (S : exists o, step A v xs o).
  { destruct v as [ts ds | kernel ks]; simpl; [|apply K].
    destruct (sum_execution_exists A (map (term_of xs) ts)) as [s X]. eauto. }
  destruct S as [[y |] S]; [|exists None; now apply runs_out].
  destruct (IH (xs ++ [y])) as [o X]. exists o. now apply runs_on with y.
Qed.

(** Where intervals are accepted there is an execution that stays in range. *)
Theorem in_range_execution_exists A p xs Bs Bs' :
  coherent A -> encloses A p Bs Bs' -> Forall2 inside xs Bs -> Forall (number (storage A)) xs ->
  total_kernels p -> exists ys, runs A p xs (Some ys).
Proof.
  intros C G H N T. destruct (execution_exists A p xs T) as [o X].
  destruct (enclosure_sound A p xs o Bs Bs' C G H N X) as (ys & -> & _). now exists ys.
Qed.

(** ** 4. Two executions that differ *)

(** The arithmetics of the analysis are coherent: 16-bit storage or binary32, sums in binary32. *)
Theorem known_coherent F b :
  F = binary16 \/ F = bfloat16 \/ F = binary32 -> coherent (Arithmetic F binary32 b).
Proof.
  intros H. unfold coherent. simpl.
  destruct H as [-> | [-> | ->]]; do 2 (split;
    [auto using binary16_well_formed, bfloat16_well_formed, binary32_well_formed|]);
    do 2 (split; [easy|]); unfold Omega, F2R; simpl; lra.
Qed.

(** A small number of binary32 is what it is rounded to. *)
Lemma rounded_exact m e :
  (Z.abs m < 2 ^ 24)%Z -> (-149 <= e <= 0)%Z ->
  rounded binary32 (IZR m * bpow radix2 e) = Some (IZR m * bpow radix2 e).
Proof.
  intros M E. assert (W := binary32_well_formed).
  rewrite rounded_some, fl_id; trivial.
  - apply generic_format_FLT. now exists (Float radix2 m e).
  - rewrite Rabs_mult, <- abs_IZR, (Rabs_pos_eq (bpow radix2 e)) by apply bpow_ge_0.
    apply Rle_trans with (IZR (2 ^ 24) * 1).
    + apply Rmult_le_compat; [apply IZR_le; lia | apply bpow_ge_0 | apply IZR_le; lia |].
      apply (bpow_le radix2 e 0). lia.
    + unfold Omega, F2R. simpl. lra.
Qed.

(** 1 + 2^-24 lies in the middle of 1 and 1 + 2^-23, and 1 has the even significand. *)
Lemma tie_to_one : fl binary32 (1 + bpow radix2 (-24)) = 1.
Proof.
  unfold fl, round, scaled_mantissa, cexp.
  rewrite (mag_unique radix2 _ 1) by (rewrite Rabs_pos_eq; simpl; lra).
  change (fexp binary32 1) with (-23)%Z.
  replace ((1 + bpow radix2 (-24)) * bpow radix2 (- -23)) with (IZR 8388608 + / 2)
    by (simpl; lra).
  unfold Znearest. rewrite (Zfloor_imp 8388608) by (simpl; lra).
  rewrite Rcompare_Eq by lra. unfold F2R. simpl. lra.
Qed.

(** Binary32: (1 + 2^-24) + 2^-24 = 1, but 1 + (2^-24 + 2^-24) = 1 + 2^-23. One program, one input,
    two executions with different results. *)
Theorem two_executions :
  exists A p xs ys zs, coherent A /\ Forall (number (storage A)) xs /\
    runs A p xs (Some ys) /\ runs A p xs (Some zs) /\ ys <> zs.
Proof.
  set (e := bpow radix2 (-24)).
  set (A := Arithmetic binary32 binary32 false).
  assert (R1 : rounded binary32 1 = Some 1).
  { generalize (rounded_exact 1 0). simpl bpow. rewrite Rmult_1_r. intros H. now apply H. }
  assert (R2 : rounded binary32 (1 + e) = Some 1).
  { rewrite rounded_some; [f_equal; apply tie_to_one | apply binary32_well_formed|].
    rewrite Rabs_pos_eq; unfold Omega, F2R, e; simpl; lra. }
  assert (R3 : rounded binary32 (e + e) = Some (e + e)).
  { replace (e + e) with (IZR 1 * bpow radix2 (-23)) by (unfold e; simpl; lra).
    now apply rounded_exact. }
  assert (R4 : rounded binary32 (1 + (e + e)) = Some (1 + (e + e))).
  { replace (1 + (e + e)) with (IZR 8388609 * bpow radix2 (-23)) by (unfold e; simpl; lra).
    now apply rounded_exact. }
  assert (N : forall x, x <> 0 -> count [Number x] <> O /\ forall l, count (Number x :: l) <> O).
  { intros x Z. unfold count. simpl. now rewrite Req_bool_false. }
  assert (Ze : e <> 0) by (unfold e; simpl; lra).
  assert (R : forall x, rounded binary32 x = Some x ->
                sums A [Number 1; Number e; Number e] (Some x) ->
                runs A [Sum [Entry 0; Entry 1; Entry 2] []] [1; e; e] (Some [1; e; e; x])).
  { intros x Hx X. apply runs_on with x; [|apply runs_done]. now exists (Some x). }
  exists A, [Sum [Entry 0; Entry 1; Entry 2] []], [1; e; e], [1; e; e; 1], [1; e; e; 1 + (e + e)].
  split; [apply known_coherent; auto|]. split; [|split; [|split]].
  - assert (forall k, (-149 <= k)%Z -> number binary32 (bpow radix2 k)).
    { intros k K. apply generic_format_bpow. unfold fexp, FLT_exp. simpl. lia. }
    repeat constructor; try apply (H (-24)%Z); try easy. now apply (H 0%Z).
  - apply R; trivial.
    apply (sums_addition A [Number 1; Number e] [Number e] 1 e); try apply N; trivial; try lra.
    + apply (sums_addition A [Number 1] [Number e] 1 e); try apply N; trivial; try lra;
        try (apply sums_number; now left). left. now rewrite <- R2.
    + apply sums_number. now left.
    + left. now rewrite <- R2.
  - apply R; trivial.
    apply (sums_addition A [Number 1] [Number e; Number e] 1 (e + e)); try apply N; trivial;
      try lra; try (apply sums_number; now left).
    + apply (sums_addition A [Number e] [Number e] e e); try apply N; trivial;
        try (apply sums_number; now left). left. now rewrite <- R3.
    + left. now rewrite <- R4.
  - injection. lra.
Qed.

(** ** 5. Intervals that were computed *)

Lemma reach_monotone A n n' S S' s s' E E' :
  0 <= n <= n' -> n' * unit_roundoff (accumulator A) < 1 ->
  0 <= S <= S' -> 0 <= s <= s' -> 0 <= E <= E' ->
  0 <= reach A n S s E <= reach A n' S' s' E'.
Proof.
  intros Hn K HS Hs HE. unfold reach. assert (F := addition_absolute_nonneg A).
  set (u := unit_roundoff _) in *. set (f := addition_absolute A) in *.
  assert (U : 0 < u) by apply bpow_gt_0.
  assert (I : 0 < / (1 - n * u) <= / (1 - n' * u)).
  { split; [apply Rinv_0_lt_compat | apply Rinv_le]; nra. }
  assert (J : 0 <= n * f <= n' * f) by (split; nra).
  split; [apply Rmult_le_pos | apply Rmult_le_compat]; lra.
Qed.

Lemma sum_error_monotone A n n' S S' s s' E E' :
  0 <= n <= n' -> n' * unit_roundoff (accumulator A) < 1 ->
  0 <= S <= S' -> 0 <= s <= s' -> 0 <= E <= E' ->
  sum_error A n S s E <= sum_error A n' S' s' E'.
Proof.
  intros Hn K HS Hs HE.
  destruct (reach_monotone A n n' S S' s s' E E' Hn K HS Hs HE) as [P Q].
  unfold sum_error. assert (U := bpow_ge_0 radix2 (- precision (accumulator A))).
  fold (unit_roundoff (accumulator A)) in U. assert (F := addition_absolute_nonneg A).
  assert (M : ufp (reach A n S s E) <= ufp (reach A n' S' s' E'))
    by (apply ufp_monotone; rewrite !Rabs_pos_eq; lra).
  assert (V := ufp_nonneg (reach A n S s E)).
  apply Rplus_le_compat; [lra|]. apply Rmult_le_compat; try lra.
  - apply Rplus_le_le_0_compat; [now apply Rmult_le_pos | easy].
  - apply Rplus_le_compat_r. now apply Rmult_le_compat_l.
Qed.

(** Upper bounds of all quantities, ends moved outward: if they pass, the exact rule passes, for
    boxes that contain an input at all. So [agreement] speaks of what the program computes. *)
Theorem computed_accepts A Bs ts ds B :
  coherent A -> accepts_computed A Bs ts ds B ->
  (exists xs, Forall2 inside xs Bs /\ Forall (number (storage A)) xs) ->
  accepts A Bs (Sum ts ds) B.
Proof.
  intros C (mid & rad & p & g & r & S & E & n & a & x & x' & y & y' & H & F & P & Hp & Hr & HS & HE
    & Hn & K & O & Ha & Hx & Hy & L & Hx' & Hy' & U) (xs & I & N).
  destruct (computed_ends mid rad Bs ts p g r H Hp Hr) as (M & M' & Hs).
  destruct (midpoint_form mid rad Bs ts H) as (_ & _ & M3).
  set (s := Rmax (Rabs (low Bs ts)) (Rabs (high Bs ts))) in *.
  assert (Jn : 0 <= additions Bs ts <= n) by (split; [apply pos_INR | easy]).
  assert (JS : 0 <= reachable Bs ts <= S).
  { split; [apply total_nonneg; intros; apply largest_nonneg | lra]. }
  assert (Js : 0 <= s <= Rabs p + g + r).
  { split; [eapply Rle_trans; [apply Rabs_pos | apply Rmax_l] | easy]. }
  assert (JE : 0 <= all_leaves A Bs ts <= E).
  { split; [apply total_nonneg; intros; apply leaf_error_nonneg | easy]. }
  assert (Ke : additions Bs ts * unit_roundoff (accumulator A) < 1).
  { apply Rle_lt_trans with (2 := K), Rmult_le_compat_r; [apply bpow_ge_0 | easy]. }
  destruct (reach_monotone A _ n _ S _ _ _ E Jn K JS Js JE) as [_ Q].
  assert (T := sum_error_monotone A _ n _ S _ _ _ E Jn K JS Js JE).
  assert (Oe := Rle_trans _ _ _ Q O).
  set (e := sum_error A (additions Bs ts) (reachable Bs ts) s (all_leaves A Bs ts)) in *.
  destruct (sum_execution_exists A (map (term_of xs) ts)) as [o X].
  destruct (sum_within A xs Bs ts o _ _ _ _ C I N F X (Rle_refl _) (Rle_refl _) (Rle_refl _)
              (Rle_refl _) Ke Oe) as (z & _ & Nz & Z). fold s e in Z.
  assert (I' := exact_inside xs Bs ts I). apply Rabs_le_inv in Z.
  assert (W := proj1 (proj2 C)). set (G := accumulator A) in *.
  assert (D : x <= fl_up G (low Bs ts - e)).
  { apply Rle_trans with (1 := Hx), fl_up_le; [easy | now apply fl_up_number|].
    apply Rle_trans with (2 := fl_up_ge G _ W). lra. }
  assert (D' : fl_down G (high Bs ts + e) <= x').
  { apply Rle_trans with (2 := Hx'), fl_down_ge; [easy | now apply fl_down_number|].
    apply Rle_trans with (1 := fl_down_le G _ W). lra. }
  assert (V : fl_up G (low Bs ts - e) <= z) by (apply fl_up_le; trivial; lra).
  assert (V' : z <= fl_down G (high Bs ts + e)) by (apply fl_down_ge; trivial; lra).
  destruct (finish_between A ds x x' (fl_up G (low Bs ts - e)) y y' C P) as (l & Hl & Il & _);
    trivial; [lra|].
  destruct (finish_between A ds x x' (fl_down G (high Bs ts + e)) y y' C P) as (h & Hh & Ih & _);
    trivial; [lra|].
  split; [easy|]. split; [easy|]. exists e, l, h. split; [now left|].
  repeat split; trivial; lra.
Qed.
