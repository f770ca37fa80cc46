(** * What is proved: every definition that the main theorem needs, and its statement.

    Nothing is proved here, so that this file can be read alone; [agreement] is proved in
    [Network.v] ([agreement_holds]). A network is a graph of real numbers: each node is one entry
    of a tensor. An execution is any way in which a machine may evaluate it: any order of every
    sum, fused multiply-add or not. Depends on Flocq ([round], [FLT_exp], [ZnearestE], [mag]). *)

From Coq Require Import Reals List Permutation ZArith.
From Flocq Require Import Core.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Formats and rounding *)

(** Precision p (hidden bit included), exponent of the smallest positive number, largest finite
    number. Infinities and NaN are not numbers: a result out of range is [None] below. *)
Record format := Format { precision : Z; quantum : Z; largest : float radix2 }.

Definition binary16 := Format 11 (-24) (Float radix2 2047 5).
Definition bfloat16 := Format 8 (-133) (Float radix2 255 120).
Definition binary32 := Format 24 (-149) (Float radix2 16777215 104).
Definition binary64 := Format 53 (-1074) (Float radix2 9007199254740991 971).
Definition fexp (F : format) : Z -> Z := FLT_exp (quantum F) (precision F).
Definition unit_roundoff (F : format) : R := bpow radix2 (- precision F).
Definition smallest_normal (F : format) : R := bpow radix2 (quantum F + precision F - 1).
Definition eta (F : format) : R := bpow radix2 (quantum F - 1).
Definition Omega (F : format) : R := F2R (largest F).
(** x is a number of F, its range aside. *)
Definition number (F : format) (x : R) : Prop := generic_format radix2 (fexp F) x.
Definition well_formed (F : format) : Prop :=
  (1 < precision F)%Z /\ number F (Omega F) /\ smallest_normal F <= Omega F.

(** To nearest, ties to even; upward; downward. *)
Definition fl (F : format) (x : R) : R := round radix2 (fexp F) ZnearestE x.
Definition fl_up (F : format) (x : R) : R := round radix2 (fexp F) Zceil x.
Definition fl_down (F : format) (x : R) : R := round radix2 (fexp F) Zfloor x.

(** The same, or [None] if it is out of range. *)
Definition rounded (F : format) (x : R) : option R :=
  if Rle_bool (Rabs (fl F x)) (Omega F) then Some (fl F x) else None.

(** Unit in the first place: 2^floor(log2 |x|), and 0 for 0. [mag x] is floor(log2 |x|) + 1. *)
Definition ufp (x : R) : R := if Req_bool x 0 then 0 else bpow radix2 (mag radix2 x - 1).

(** ** 2. Sums in any order *)

(** How a machine sums: the format of stored values, the format of partial sums, and whether
    subnormal operands and results may be flushed to zero. *)
Record arithmetic := Arithmetic { storage : format; accumulator : format; flushes : bool }.

Definition coherent (A : arithmetic) : Prop :=
  well_formed (storage A) /\ well_formed (accumulator A) /\
  (precision (storage A) <= precision (accumulator A))%Z /\
  (quantum (accumulator A) <= quantum (storage A))%Z /\ Omega (storage A) <= Omega (accumulator A).

Inductive term := Product (a b : R) | Number (c : R).
Definition value (t : term) : R := match t with Product a b => a * b | Number c => c end.
(** How many terms are not zero. *)
Definition count l : nat := length (filter (fun t => negb (Req_bool (value t) 0)) l).

(** What an operand of format F may be read as; as what an exact result x may be stored. *)
Definition reads (A : arithmetic) (F : format) (x y : R) : Prop :=
  y = x \/ flushes A = true /\ Rabs x < smallest_normal F /\ y = 0.
Definition stores (A : arithmetic) (x : R) (o : option R) : Prop :=
  o = rounded (accumulator A) x \/
  flushes A = true /\ Rabs x < smallest_normal (accumulator A) /\ o = Some 0.

(** [sums A l o]: adding the terms [l] may give [o]. Every bracketing, every permutation, every
    mixture of multiply-then-add and fused multiply-add; [None] once a partial sum is out of range.
    A term that is zero may be left out: to add it returns the other operand. *)
Inductive sums (A : arithmetic) : list term -> option R -> Prop :=
| sums_nothing : sums A [] (Some 0)
| sums_number c c' : reads A (accumulator A) c c' -> sums A [Number c] (Some c')
| sums_product a b a' b' o : reads A (storage A) a a' -> reads A (storage A) b b' ->
    stores A (a' * b') o -> sums A [Product a b] o
| sums_addition l l' s s' o :
    count l <> O -> count l' <> O -> sums A l (Some s) -> sums A l' (Some s') ->
    stores A (s + s') o -> sums A (l ++ l') o
| sums_fused a b a' b' l s o :
    a * b <> 0 -> count l <> O -> reads A (storage A) a a' -> reads A (storage A) b b' ->
    sums A l (Some s) -> stores A (a' * b' + s) o -> sums A (Product a b :: l) o
| sums_zero t l o : value t = 0 -> sums A l o -> sums A (t :: l) o
| sums_overflow l l' : sums A l None -> sums A (l ++ l') None
| sums_permuted l l' o : Permutation l l' -> sums A l o -> sums A l' o.

(** ** 3. Programs and their executions *)

(** A summand reads the value at index k, with a constant weight or as it is; or is a constant. *)
Inductive summand := Weighted (w : R) (k : nat) | Entry (k : nat) | Constant (c : R).

(** A node is a sum of summands, divided by constants one after the other, stored once; or a local
    kernel: any relation between the values that it reads and what it may store. *)
Inductive node :=
| Sum (summands : list summand) (divisors : list R)
| Local (kernel : list R -> option R -> Prop) (operands : list nat).

Definition at_index (xs : list R) (k : nat) : R := nth k xs 0.
Definition term_of (xs : list R) (t : summand) : term :=
  match t with
  | Weighted w k => Product w (at_index xs k)
  | Entry k => Number (at_index xs k)
  | Constant c => Number c
  end.

(** Division in the accumulator's format, then one rounding to the storage format. *)
Fixpoint finish (A : arithmetic) (divisors : list R) (x : R) : option R :=
  match divisors with
  | [] => rounded (storage A) x
  | d :: ds => match rounded (accumulator A) (x / d) with Some y => finish A ds y | None => None end
  end.

Definition step (A : arithmetic) (v : node) (xs : list R) (o : option R) : Prop :=
  match v with
  | Sum ts ds => exists s, sums A (map (term_of xs) ts) s /\
                   o = match s with Some x => finish A ds x | None => None end
  | Local kernel ks => kernel (map (at_index xs) ks) o
  end.

(** [runs A p xs o]: from the values [xs], the nodes [p], each of which may read every value before
    it, may give the values [o], or leave the range ([None]). *)
Inductive runs (A : arithmetic) : list node -> list R -> option (list R) -> Prop :=
| runs_done xs : runs A [] xs (Some xs)
| runs_on v p xs y o : step A v xs (Some y) -> runs A p (xs ++ [y]) o -> runs A (v :: p) xs o
| runs_out v p xs : step A v xs None -> runs A (v :: p) xs None.

Record program := Program { nodes : list node; outputs : list nat }.

(** ** 4. Rules: when an interval is accepted *)

Definition interval := (R * R)%type.
Definition inside (x : R) (B : interval) : Prop := fst B <= x <= snd B.
Definition box_at (Bs : list interval) (k : nat) : interval := nth k Bs (0, 0).
Definition largest_in (B : interval) : R := Rmax (Rabs (fst B)) (Rabs (snd B)).

(** The interval of a summand's value. *)
Definition range (Bs : list interval) (t : summand) : interval :=
  match t with
  | Weighted w k => let B := box_at Bs k in
                    (Rmin (w * fst B) (w * snd B), Rmax (w * fst B) (w * snd B))
  | Entry k => box_at Bs k
  | Constant c => (c, c)
  end.

(** A summand counts unless it is zero in every execution. *)
Definition alive Bs t := negb (Req_bool (fst (range Bs t)) 0 && Req_bool (snd (range Bs t)) 0).

(** What a product may err: its rounding (none if all its bits fit); underflow and flushes; operands
    that are flushed (a weight only if it is subnormal). What else is read or added: flushes. *)
Definition product_relative (A : arithmetic) : R :=
  if (2 * precision (storage A) <=? precision (accumulator A))%Z
  then 0 else unit_roundoff (accumulator A).
Definition product_absolute (A : arithmetic) : R :=
  if flushes A then smallest_normal (accumulator A)
  else if (quantum (accumulator A) <=? 2 * quantum (storage A))%Z then 0 else eta (accumulator A).
Definition read_error (A : arithmetic) (w x : R) : R :=
  let tau := smallest_normal (storage A) in
  if flushes A then tau * (Rabs w + if Rlt_bool (Rabs w) tau then x else 0) else 0.
Definition addition_absolute A := if flushes A then smallest_normal (accumulator A) else 0.

Definition leaf_error (A : arithmetic) (Bs : list interval) (t : summand) : R :=
  if alive Bs t then match t with
    | Weighted w k => product_relative A * largest_in (range Bs t) + product_absolute A +
                      read_error A w (largest_in (box_at Bs k))
    | _ => addition_absolute A
    end else 0.
Definition total (l : list R) : R := fold_right Rplus 0 l.

(** The bound: with n additions, terms of magnitude S in all, a sum of magnitude s and leaves that
    err by E, no partial sum exceeds [reach] and the result errs by [sum_error] at most. *)
Definition reach (A : arithmetic) (n S s E : R) : R :=
  ((S + s) / 2 + E + n * addition_absolute A) / (1 - n * unit_roundoff (accumulator A)).

Definition sum_error (A : arithmetic) (n S s E : R) : R :=
  E + n * (unit_roundoff (accumulator A) * ufp (reach A n S s E) + addition_absolute A).

(** The first form, if nothing is flushed: m terms of magnitude S err by this for every m. There is
    one rounding for each term, but none for the first if products are exact. *)
Definition first_form_error (A : arithmetic) (m : nat) (S : R) : R :=
  let E := INR m * product_absolute A in
  let roundings := INR (if Req_bool (product_relative A) 0 then m - 1 else m) in
  roundings * (unit_roundoff (accumulator A) * (S + E)) + E.

(** Constants must be numbers: weights of the storage format, other terms of the accumulator's. *)
Definition constants_fit (A : arithmetic) (t : summand) : Prop :=
  match t with
  | Weighted w _ => number (storage A) w
  | Entry _ => True
  | Constant c => number (accumulator A) c /\ Rabs c <= Omega (accumulator A)
  end.

(** Ends of the exact sum; e bounds its error, and no partial sum is out of range. *)
Definition low Bs ts : R := total (map (fun t => fst (range Bs t)) ts).
Definition high Bs ts : R := total (map (fun t => snd (range Bs t)) ts).
Definition errs_by (A : arithmetic) (Bs : list interval) (ts : list summand) (e : R) : Prop :=
  let m := length (filter (alive Bs) ts) in let n := INR (m - 1) in
  let S := total (map (fun t => largest_in (range Bs t)) ts) in
  let s := Rmax (Rabs (low Bs ts)) (Rabs (high Bs ts)) in
  let E := total (map (leaf_error A Bs) ts) in
  n * unit_roundoff (accumulator A) < 1 /\ reach A n S s E <= Omega (accumulator A) /\
    e = sum_error A n S s E \/
  flushes A = false /\ S + first_form_error A m S <= Omega (accumulator A) /\
    e = first_form_error A m S.
Definition accepts_sum (A : arithmetic) (Bs : list interval) ts (ds : list R) (B : interval) :=
  Forall (constants_fit A) ts /\ Forall (fun d => 0 < d) ds /\
  exists e y y', errs_by A Bs ts e /\
    finish A ds (fl_up (accumulator A) (low Bs ts - e)) = Some y /\ fst B <= y /\
    finish A ds (fl_down (accumulator A) (high Bs ts + e)) = Some y' /\ y' <= snd B.

(** A local kernel keeps to B on all numbers in its operands' intervals; tests: [Shapes.v]. *)
Definition accepts_local (A : arithmetic) Bs (kernel : list R -> option R -> Prop) ks B : Prop :=
  forall xs o, Forall2 inside xs (map (box_at Bs) ks) -> Forall (number (storage A)) xs ->
    kernel xs o -> exists y, o = Some y /\ inside y B /\ number (storage A) y.

Definition accepts (A : arithmetic) (Bs : list interval) (v : node) (B : interval) : Prop :=
  match v with
  | Sum ts ds => accepts_sum A Bs ts ds B
  | Local kernel ks => accepts_local A Bs kernel ks B
  end.

(** [Bs'] are [Bs] and one accepted interval for each node. *)
Inductive encloses (A : arithmetic) : list node -> list interval -> list interval -> Prop :=
| encloses_done Bs : encloses A [] Bs Bs
| encloses_on v p Bs B Bs' :
    accepts A Bs v B -> encloses A p (Bs ++ [B]) Bs' -> encloses A (v :: p) Bs Bs'.

(** ** 5. The theorem *)

(** i is the one index of the largest entry: of numbers; of intervals (the pairwise test). *)
Definition top (i : nat) (z : list R) : Prop :=
  (i < length z)%nat /\ forall j, (j < length z)%nat -> j <> i -> nth j z 0 < nth i z 0.
Definition leads (i : nat) (Bs : list interval) : Prop :=
  (i < length Bs)%nat /\
  forall j, (j < length Bs)%nat -> j <> i -> snd (nth j Bs (0, 0)) < fst (nth i Bs (0, 0)).

(** Every execution of the program from [xs] stays in range, and its argmax is i. *)
Definition always_top (A : arithmetic) (P : program) (xs : list R) (i : nat) : Prop :=
  forall o, runs A (nodes P) xs o -> exists z, o = Some z /\ top i (map (at_index z) (outputs P)).

(** M32 and M16 are two programs (the second with rounded weights), each with its arithmetic. If
    accepted intervals of both pass the pairwise test for one class, every execution of both, from
    every input of the box, has that class as its argmax. *)
Definition agreement : Prop :=
  forall (A32 A16 : arithmetic) (M32 M16 : program) (X Bs32 Bs16 : list interval) (i : nat),
    coherent A32 -> coherent A16 ->
    let cell B := (fl (storage A16) (fst B), fl (storage A16) (snd B)) in
    encloses A32 (nodes M32) X Bs32 -> leads i (map (box_at Bs32) (outputs M32)) ->
    encloses A16 (nodes M16) (map cell X) Bs16 -> leads i (map (box_at Bs16) (outputs M16)) ->
    Forall (fun B => largest_in (cell B) <= Omega (storage A16)) X ->
    forall x, Forall2 inside x X -> Forall (number (storage A32)) x ->
      always_top A32 M32 x i /\ always_top A16 M16 (map (fl (storage A16)) x) i.
