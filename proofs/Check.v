(** * Checking: a program that decides whether a certificate is valid, and its soundness.

    A certificate is two programs with rational constants, an input box, one interval for each node
    of each program, and a class. [certifies] recomputes every rule of [Statement.v], section 4, on
    rationals; if it returns [true], all premises of [agreement] hold, hence its conclusion
    ([certifies_sound]). [image] is the least interval that the rules admit for a node, from which
    certificates are made. Nodes are sums and relus.

    Depends on: [Statement.v], [Shapes.v], [Network.v] ([agreement_holds]), [Rational.v],
    [Compute.v]. *)

From Coq Require Import Reals List ZArith QArith Qreals Qabs Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Shapes Network Rational Compute.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Sums *)

Definition box : Type := (Q * Q)%type.
Definition boxR (B : box) : interval := (Q2R (fst B), Q2R (snd B)).
Definition box_atQ (Bs : list box) (k : nat) : box := nth k Bs (0%Q, 0%Q).
Definition largest_inQ (B : box) : Q := maxQ (Qabs (fst B)) (Qabs (snd B)).
Definition withinQ (B B' : box) : bool :=
  Qle_bool (fst B') (fst B) && Qle_bool (snd B) (snd B').

Inductive summandQ := WeightedQ (w : Q) (k : nat) | EntryQ (k : nat) | ConstantQ (c : Q).

Definition summandR (t : summandQ) : summand :=
  match t with
  | WeightedQ w k => Weighted (Q2R w) k
  | EntryQ k => Entry k
  | ConstantQ c => Constant (Q2R c)
  end.

Definition rangeQ (Bs : list box) (t : summandQ) : box :=
  match t with
  | WeightedQ w k =>
      let B := box_atQ Bs k in
      (minQ (w * fst B) (w * snd B), maxQ (w * fst B) (w * snd B))
  | EntryQ k => box_atQ Bs k
  | ConstantQ c => (c, c)
  end.

Definition aliveQ (Bs : list box) (t : summandQ) : bool :=
  negb (Qeq_bool (fst (rangeQ Bs t)) 0 && Qeq_bool (snd (rangeQ Bs t)) 0).

Definition leaf_errorQ (A : arithmetic) (Bs : list box) (t : summandQ) : Q :=
  if aliveQ Bs t then match t with
    | WeightedQ w k => product_relativeQ A * largest_inQ (rangeQ Bs t) + product_absoluteQ A +
                       read_errorQ A w (largest_inQ (box_atQ Bs k))
    | _ => addition_absoluteQ A
    end else 0%Q.

Definition totalQ (l : list Q) : Q := fold_right (fun a b => lite (a + b)) 0%Q l.

Fixpoint finishQ (A : arithmetic) (ds : list Q) (x : Q) : option Q :=
  match ds with
  | [] => roundedQ (storage A) x
  | d :: ds =>
      match roundedQ (accumulator A) (x / d) with Some y => finishQ A ds y | None => None end
  end.

Definition fitsQ (A : arithmetic) (t : summandQ) : bool :=
  match t with
  | WeightedQ w _ => numberQ (storage A) w
  | EntryQ _ => true
  | ConstantQ c => numberQ (accumulator A) c && Qle_bool (Qabs c) (OmegaQ (accumulator A))
  end.

(** The least interval that the first alternative of [accepts_sum] admits, if there is one. *)
Definition image_sum (A : arithmetic) (Bs : list box) (ts : list summandQ) (ds : list Q)
    : option box :=
  let low := totalQ (map (fun t => fst (rangeQ Bs t)) ts) in
  let high := totalQ (map (fun t => snd (rangeQ Bs t)) ts) in
  let S := totalQ (map (fun t => largest_inQ (rangeQ Bs t)) ts) in
  let E := totalQ (map (leaf_errorQ A Bs) ts) in
  let n := inject_Z (Z.of_nat (length (filter (aliveQ Bs) ts) - 1)) in
  let s := maxQ (Qabs low) (Qabs high) in
  let error := sum_errorQ A n S s E in
  if Qlt_bool (n * unit_roundoffQ (accumulator A)) 1 &&
     Qle_bool (reachQ A n S s E) (OmegaQ (accumulator A)) &&
     forallb (fitsQ A) ts && forallb (Qlt_bool 0) ds
  then match finishQ A ds (fl_upQ (accumulator A) (low - error)),
             finishQ A ds (fl_downQ (accumulator A) (high + error)) with
       | Some y, Some y' => Some (y, y')
       | _, _ => None
       end
  else None.

Definition check_sum A Bs ts ds (B : box) : bool :=
  match image_sum A Bs ts ds with Some B' => withinQ B' B | None => false end.

Lemma box_atQ_correct Bs k : box_at (map boxR Bs) k = boxR (box_atQ Bs k).
Proof.
  unfold box_at; replace (0, 0) with (boxR (0%Q, 0%Q)); [apply map_nth |].
  unfold boxR; simpl; now rewrite Q2R_0.
Qed.

Lemma largest_inQ_correct B : Q2R (largest_inQ B) = largest_in (boxR B).
Proof. unfold largest_inQ, largest_in; now autorewrite with q2r. Qed.

Lemma rangeQ_correct Bs t : range (map boxR Bs) (summandR t) = boxR (rangeQ Bs t).
Proof.
  destruct t; simpl; rewrite ?box_atQ_correct; try easy.
  unfold boxR; simpl; now autorewrite with q2r.
Qed.

Lemma aliveQ_correct Bs t : alive (map boxR Bs) (summandR t) = aliveQ Bs t.
Proof.
  unfold alive, aliveQ; rewrite rangeQ_correct; simpl.
  now rewrite <- !Req_bool_Q, Q2R_0.
Qed.

Lemma leaf_errorQ_correct A Bs t :
  leaf_error A (map boxR Bs) (summandR t) = Q2R (leaf_errorQ A Bs t).
Proof.
  unfold leaf_error, leaf_errorQ; rewrite aliveQ_correct, rangeQ_correct.
  case aliveQ; [|now rewrite Q2R_0].
  destruct t; simpl summandR; cbn iota; autorewrite with q2r;
    now rewrite ?box_atQ_correct, ?largest_inQ_correct.
Qed.

Lemma totalQ_correct (f : summand -> R) (g : summandQ -> Q) ts :
  (forall t, f (summandR t) = Q2R (g t)) ->
  total (map f (map summandR ts)) = Q2R (totalQ (map g ts)).
Proof.
  intros H; induction ts as [| t ts IH]; simpl; autorewrite with q2r; [easy |].
  now rewrite H, IH.
Qed.

Lemma count_alive Bs ts :
  length (filter (alive (map boxR Bs)) (map summandR ts)) = length (filter (aliveQ Bs) ts).
Proof.
  induction ts as [| t ts IH]; simpl; [easy |].
  rewrite aliveQ_correct; case aliveQ; simpl; now rewrite IH.
Qed.

Lemma finishQ_correct A ds : forall x, Forall (fun d => 0 < d) (map Q2R ds) ->
  option_map Q2R (finishQ A ds x) = finish A (map Q2R ds) (Q2R x).
Proof.
  induction ds as [| d ds IH]; intros x P; simpl; [apply roundedQ_correct |].
  inversion P; subst; rewrite <- Q2R_div, <- roundedQ_correct.
  - destruct roundedQ; simpl; [now apply IH | easy].
  - intros Z; apply Qeq_eqR in Z; rewrite Q2R_0 in Z; lra.
Qed.

Lemma fitsQ_correct A t : coherent A -> fitsQ A t = true -> constants_fit A (summandR t).
Proof.
  intros (WS & WA & _); destruct t as [w k | k | c]; simpl; [| easy |].
  - apply numberQ_correct, WS.
  - rewrite andb_true_iff, Qle_bool_R; autorewrite with q2r; intros (N & L); split; [| easy].
    apply numberQ_correct; [apply WA | easy].
Qed.

Lemma forallb_map {X Y} (f : X -> Y) (b : X -> bool) (P : Y -> Prop) l :
  (forall x, b x = true -> P (f x)) -> forallb b l = true -> Forall P (map f l).
Proof.
  intros H; rewrite forallb_forall, Forall_map, Forall_forall; auto.
Qed.

(** A sum that the checker accepts is accepted. *)
Theorem check_sum_sound A Bs ts ds B : coherent A -> check_sum A Bs ts ds B = true ->
  accepts_sum A (map boxR Bs) (map summandR ts) (map Q2R ds) (boxR B).
Proof.
  intros C; unfold check_sum, image_sum; cbv zeta.
  case_eq (Qlt_bool (inject_Z (Z.of_nat (length (filter (aliveQ Bs) ts) - 1)) *
    unit_roundoffQ (accumulator A)) 1); intros K; [| easy].
  case Qle_bool eqn:R; [| easy].
  case (forallb (fitsQ A) ts) eqn:T; [| easy].
  case (forallb (Qlt_bool 0) ds) eqn:D; simpl; [| easy].
  destruct finishQ as [y |] eqn:L; [| easy]; destruct finishQ as [y' |] eqn:H in |- *; [| easy].
  unfold withinQ; simpl; rewrite andb_true_iff, !Qle_bool_R; intros (Ly & Hy).
  apply Qlt_bool_R in K; apply Qle_bool_R in R; autorewrite with q2r in K.
  rewrite reachQ_correct in R by now autorewrite with q2r.
  apply (f_equal (option_map Q2R)) in L, H; simpl in L, H.
  assert (P : Forall (fun d => 0 < d) (map Q2R ds)).
  { revert D; apply forallb_map; intros d; now rewrite Qlt_bool_R, Q2R_0. }
  rewrite finishQ_correct in L, H by assumption.
  autorewrite with q2r in L, H, R; rewrite sum_errorQ_correct in L, H by now autorewrite with q2r.
  autorewrite with q2r in L, H.
  unfold accepts_sum, errs_by, Statement.low, Statement.high; cbv zeta.
  rewrite count_alive, INR_IZR_INZ.
  rewrite (totalQ_correct (fun t => fst (range (map boxR Bs) t)) (fun t => fst (rangeQ Bs t)))
    by (intros t; now rewrite rangeQ_correct).
  rewrite (totalQ_correct (fun t => snd (range (map boxR Bs) t)) (fun t => snd (rangeQ Bs t)))
    by (intros t; now rewrite rangeQ_correct).
  rewrite (totalQ_correct (fun t => largest_in _) (fun t => largest_inQ (rangeQ Bs t)))
    by (intros t; now rewrite rangeQ_correct, largest_inQ_correct).
  rewrite (totalQ_correct (leaf_error A _) (leaf_errorQ A Bs)) by apply leaf_errorQ_correct.
  split; [revert T; apply forallb_map; intros t; now apply fitsQ_correct | split; [exact P |]].
  eexists; exists (Q2R y), (Q2R y'); split; [left; repeat split; eassumption | now repeat split].
Qed.

(** ** 2. Programs *)

Inductive nodeQ := SumQ (ts : list summandQ) (ds : list Q) | ReluQ (k : nat).
Record programQ := ProgramQ { nodesQ : list nodeQ; outputsQ : list nat }.

Definition nodeR (v : nodeQ) : node :=
  match v with
  | SumQ ts ds => Sum (map summandR ts) (map Q2R ds)
  | ReluQ k => Local (exactly relu) [k]
  end.

Definition programR (P : programQ) : program := Program (map nodeR (nodesQ P)) (outputsQ P).

Definition image (A : arithmetic) (Bs : list box) (v : nodeQ) : option box :=
  match v with
  | SumQ ts ds => image_sum A Bs ts ds
  | ReluQ k => Some (maxQ 0 (fst (box_atQ Bs k)), maxQ 0 (snd (box_atQ Bs k)))
  end.

(** The images of all nodes, in order; [None] if one is refused. *)
Fixpoint images (A : arithmetic) (p : list nodeQ) (Bs : list box) : option (list box) :=
  match p with
  | [] => Some []
  | v :: p =>
      match image A Bs v with
      | Some B => option_map (cons B) (images A p (Bs ++ [B]))
      | None => None
      end
  end.

Definition check_node A Bs v (B : box) : bool :=
  match image A Bs v with Some B' => withinQ B' B | None => false end.

Fixpoint check_program (A : arithmetic) (p : list nodeQ) (Bs certificate : list box) : bool :=
  match p, certificate with
  | [], [] => true
  | v :: p, B :: rest => check_node A Bs v B && check_program A p (Bs ++ [B]) rest
  | _, _ => false
  end.

(** Relu selects 0 or its operand: the ends decide for all numbers between. *)
Lemma check_relu_sound A Bs k B : check_node A Bs (ReluQ k) B = true ->
  accepts_local A (map boxR Bs) (exactly relu) [k] (boxR B).
Proof.
  unfold check_node, withinQ; simpl; rewrite andb_true_iff, !Qle_bool_R, !Q2R_max, Q2R_0.
  intros (L & H); apply accepted_locally, selection_accepted; [apply relu_selects | |];
    simpl; now rewrite box_atQ_correct.
Qed.

Theorem check_program_sound A p : forall Bs certificate, coherent A ->
  check_program A p Bs certificate = true ->
  encloses A (map nodeR p) (map boxR Bs) (map boxR (Bs ++ certificate)).
Proof.
  induction p as [| v p IH]; intros Bs [| B rest] C; simpl; try easy.
  - rewrite app_nil_r; constructor.
  - rewrite andb_true_iff; intros (V & P); apply encloses_on with (boxR B).
    + destruct v; [now apply check_sum_sound | now apply check_relu_sound].
    + apply IH in P; [| easy]; now rewrite map_app, <- app_assoc in P.
Qed.

(** ** 3. Certificates *)

(** The pairwise test. *)
Definition leadsQ (i : nat) (Bs : list box) : bool :=
  (i <? length Bs)%nat &&
  forallb (fun j => (j =? i)%nat || Qlt_bool (snd (box_atQ Bs j)) (fst (box_atQ Bs i)))
    (seq 0 (length Bs)).

Theorem leadsQ_correct i Bs : leadsQ i Bs = true <-> leads i (map boxR Bs).
Proof.
  unfold leadsQ, leads; fold (box_at (map boxR Bs) i).
  rewrite andb_true_iff, Nat.ltb_lt, forallb_forall, map_length; split; intros (L & H).
  all: split; [exact L |]; intros j.
  - intros J Ji; fold (box_at (map boxR Bs) j); rewrite !box_atQ_correct; apply Qlt_bool_R.
    specialize (H j); rewrite in_seq, orb_true_iff, Nat.eqb_eq in H.
    now destruct H; [lia | |].
  - rewrite in_seq; intros (_ & J); apply orb_true_iff; rewrite Nat.eqb_eq.
    destruct (Nat.eq_dec j i) as [E | E]; [now left | right].
    specialize (H j J E); fold (box_at (map boxR Bs) j) in H; rewrite !box_atQ_correct in H.
    now apply Qlt_bool_R.
Qed.

Definition coherentQ (A : arithmetic) : bool :=
  well_formedQ (storage A) && well_formedQ (accumulator A) &&
  (precision (storage A) <=? precision (accumulator A))%Z &&
  (quantum (accumulator A) <=? quantum (storage A))%Z &&
  Qle_bool (OmegaQ (storage A)) (OmegaQ (accumulator A)).

Lemma coherentQ_correct A : coherentQ A = true -> coherent A.
Proof.
  unfold coherentQ; rewrite !andb_true_iff, !Z.leb_le, Qle_bool_R, !OmegaQ_correct.
  intros ((((S & A') & P) & Q) & O); repeat split; try easy; now apply well_formedQ_correct.
Qed.

(** The rows of torch's CPU kernels. *)
Definition cpu32 := Arithmetic binary32 binary32 false.
Definition cpu16 := Arithmetic binary16 binary32 false.
Definition cpu_bfloat16 := Arithmetic bfloat16 binary32 true.

Lemma coherent_cpu32 : coherent cpu32.
Proof. now apply coherentQ_correct. Qed.

Lemma coherent_cpu16 : coherent cpu16.
Proof. now apply coherentQ_correct. Qed.

Lemma coherent_cpu_bfloat16 : coherent cpu_bfloat16.
Proof. now apply coherentQ_correct. Qed.

Definition cellQ (F : format) (B : box) : box := (flQ F (fst B), flQ F (snd B)).
Definition outputs_at (Bs : list box) (P : programQ) : list box := map (box_atQ Bs) (outputsQ P).

Definition certifies (A32 A16 : arithmetic) (M32 M16 : programQ) (X C32 C16 : list box)
    (i : nat) : bool :=
  let X16 := map (cellQ (storage A16)) X in
  coherentQ A32 && coherentQ A16 &&
  check_program A32 (nodesQ M32) X C32 && leadsQ i (outputs_at (X ++ C32) M32) &&
  check_program A16 (nodesQ M16) X16 C16 && leadsQ i (outputs_at (X16 ++ C16) M16) &&
  forallb (fun B => Qle_bool (largest_inQ B) (OmegaQ (storage A16))) X16.

Lemma outputs_correct Bs P :
  map boxR (outputs_at Bs P) = map (box_at (map boxR Bs)) (outputs (programR P)).
Proof.
  unfold outputs_at; rewrite map_map; apply map_ext; intros k; now rewrite box_atQ_correct.
Qed.

(** What the checker accepts agrees: every premise of [agreement] has been computed. *)
Theorem certifies_sound A32 A16 M32 M16 X C32 C16 i :
  certifies A32 A16 M32 M16 X C32 C16 i = true ->
  forall x, Forall2 inside x (map boxR X) -> Forall (number (storage A32)) x ->
    always_top A32 (programR M32) x i /\
    always_top A16 (programR M16) (map (fl (storage A16)) x) i.
Proof.
  unfold certifies; cbv zeta; set (X16 := map (cellQ _) X).
  rewrite !andb_true_iff; intros ((((((H32 & H16) & P32) & L32) & P16) & L16) & R).
  apply coherentQ_correct in H32, H16.
  apply check_program_sound in P32; [| easy]; apply check_program_sound in P16; [| easy].
  apply leadsQ_correct in L32, L16; rewrite outputs_correct in L32, L16.
  assert (cells : map boxR X16 =
    map (fun B => (fl (storage A16) (fst B), fl (storage A16) (snd B))) (map boxR X)).
  { unfold X16; rewrite !map_map; apply map_ext; intros B.
    unfold boxR, cellQ; simpl; now autorewrite with q2r. }
  apply (forallb_map boxR _ (fun B => largest_in B <= Omega (storage A16))) in R.
  - rewrite cells in P16, R; rewrite Forall_map in R.
    exact (agreement_holds A32 A16 (programR M32) (programR M16) _ _ _ i
      H32 H16 P32 L32 P16 L16 R).
  - intros B; now rewrite Qle_bool_R, largest_inQ_correct, OmegaQ_correct.
Qed.
