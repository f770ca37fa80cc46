(** * Truncation: sums rounded toward zero, in any order and of any length.

    Rounding toward zero never enlarges a magnitude, so no partial sum exceeds the sum of the
    magnitudes of its terms, and each of the m - 1 additions errs by 2u times that at most: the
    error is at most (m-1) 2u S, without a condition on m ([toward_zero]). This fails for other
    directed roundings, whose partial sums may grow.

    Depends on: [Format] (sums below the normal range are exact), [Sum], [Orders] ([trees]). *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
Require Import Flocq.Prop.Relative.
From Errbound Require Import Statement Format Sum Orders.
Import ListNotations.
Open Scope R_scope.

(** Two numbers of F added and truncated. *)
Definition truncates (F : format) (y y' z : R) : Prop :=
  number F y /\ number F y' /\ z = round radix2 (fexp F) Ztrunc (y + y').

(** Below the normal range a sum of numbers is a number; above it 2u is the relative error. *)
Lemma truncation_error F y y' z : well_formed F -> truncates F y y' z ->
  Rabs z <= Rabs (y + y') /\ Rabs (z - (y + y')) <= 2 * unit_roundoff F * Rabs (y + y').
Proof.
  intros HF (Hy & Hy' & ->).
  pose proof (precision_positive F HF) as P; pose proof (fexp_valid F HF) as V.
  set (x := y + y') in *; split.
  - destruct (Rle_or_lt 0 x) as [Hx | Hx].
    + rewrite (Rabs_pos_eq x Hx), round_ZR_DN by easy.
      rewrite Rabs_pos_eq
        by (apply round_ge_generic; auto with typeclass_instances; apply number_0).
      apply round_DN_pt; assumption.
    + rewrite (Rabs_left x Hx), round_ZR_UP by lra.
      assert (round radix2 (fexp F) Zceil x <= 0)
        by (apply round_le_generic; auto with typeclass_instances; [apply number_0 | lra]).
      rewrite Rabs_left1 by easy.
      pose proof (proj1 (proj2 (round_UP_pt radix2 (fexp F) x))); lra.
  - destruct (Rlt_or_le (Rabs x) (smallest_normal F)) as [Hx | Hx].
    + rewrite round_generic; auto with typeclass_instances.
      * rewrite Rminus_diag_eq, Rabs_R0 by easy.
        pose proof (unit_roundoff_pos F); pose proof (Rabs_pos x); nra.
      * apply subnormal_number; trivial.
        apply multiple_plus; apply number_multiple; assumption.
    + assert (U : 2 * unit_roundoff F = bpow radix2 (- precision F + 1)).
      { unfold unit_roundoff; rewrite bpow_plus; change (bpow radix2 1) with 2; ring. }
      rewrite U; apply Rlt_le, relative_error_FLT; auto with typeclass_instances.
Qed.

(** Any tree of truncated additions over m numbers. *)
Theorem toward_zero F h l z : well_formed F -> trees (truncates F) h l z ->
  Forall (fun p => fst p = snd p) l ->
  Rabs (z - exact (terms l)) <=
    INR (length l - 1) * (2 * unit_roundoff F) * magnitude (terms l).
Proof.
  intros HF T Hl.
  enough (Rabs z <= magnitude (terms l) /\ Rabs (z - exact (terms l)) <=
    INR (length l - 1) * (2 * unit_roundoff F) * magnitude (terms l)) by tauto.
  pose proof (unit_roundoff_pos F) as U.
  induction T as [x y|h h' l l' y y' z T IH T' IH' Hz|h l l' z P _ IH].
  - inversion_clear Hl as [|? ? E _]; simpl in E; subst; unfold exact, magnitude; simpl.
    rewrite !Rplus_0_r, Rminus_diag_eq, Rabs_R0 by easy; lra.
  - apply Forall_app in Hl as [Hl Hl'].
    destruct (IH Hl) as [M D], (IH' Hl') as [M' D']; clear IH IH'.
    pose proof (trees_length _ _ _ _ T); pose proof (trees_length _ _ _ _ T').
    destruct (truncation_error F y y' z HF Hz) as [B E].
    pose proof (Rabs_triang y y').
    assert (I : INR (length (l ++ l') - 1) = INR (length l - 1) + INR (length l' - 1) + 1)
      by (rewrite app_length, <- plus_INR, <- S_INR; f_equal; lia).
    unfold terms in *; rewrite map_app, exact_app, magnitude_app, I in *.
    fold (terms l) (terms l') in *.
    set (S := magnitude (terms l)) in *; set (S' := magnitude (terms l')) in *.
    pose proof (pos_INR (length l - 1)); pose proof (pos_INR (length l' - 1)).
    pose proof (Rabs_pos y); pose proof (Rabs_pos y').
    split; [lra|].
    replace (z - _) with (z - (y + y') + ((y - exact (terms l)) + (y' - exact (terms l')))) by ring.
    eapply Rle_trans; [apply Rabs_triang|].
    pose proof (Rabs_triang (y - exact (terms l)) (y' - exact (terms l'))).
    assert (2 * unit_roundoff F * Rabs (y + y') <= 2 * unit_roundoff F * (S + S'))
      by (apply Rmult_le_compat_l; lra).
    assert (0 <= INR (length l - 1) * (2 * unit_roundoff F) * S')
      by (apply Rmult_le_pos; [apply Rmult_le_pos; lra | lra]).
    assert (0 <= INR (length l' - 1) * (2 * unit_roundoff F) * S)
      by (apply Rmult_le_pos; [apply Rmult_le_pos; lra | lra]).
    lra.
  - pose proof (Permutation_map (fun p : R * R => Number (fst p)) P) as P'.
    rewrite <- (Permutation_length P); unfold terms in *.
    rewrite <- (exact_permuted _ _ P'), <- (magnitude_permuted _ _ P').
    apply IH, (Permutation_Forall (Permutation_sym P)), Hl.
Qed.
