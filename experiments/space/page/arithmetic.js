// Shares of the draws of stage 2, as cml_jax.samplers.stage2 has them (Tran et al. 2019, eq. 3).

// log(1 / q(s)) relative to s = 0: q is proportional to (1 - s^2)^((D - 3) / 2), and s is clipped at the cut-off.
function logWeight(s, cutoff, dim) {
  const clipped = Math.min(s, Math.fround(cutoff), Math.fround(1 - 1e-6));
  return clipped > 0 ? (-(dim - 3) / 2) * (Math.log1p(-clipped) + Math.log1p(clipped)) : -Infinity;
}

// Shares of candidates with similarities s, without those known; all 0 where none can be drawn.
function stage2Shares(similarity, known, cutoff, dim) {
  const shares = new Float64Array(similarity.length);
  let largest = -Infinity;
  for (let i = 0; i < shares.length; i++) {
    shares[i] = known[i] ? -Infinity : logWeight(similarity[i], cutoff, dim);
    largest = Math.max(largest, shares[i]);
  }
  if (largest === -Infinity) return shares.fill(0);
  return normalised(shares.map((value) => Math.exp(value - largest)));
}

// Weights of candidates in the gradient of a softmax of their inner products with the user.
function softmaxShares(cosine, correction, known, temperature) {
  const logits = Float64Array.from(cosine, (value, i) => (known[i] ? -Infinity : value / temperature + correction[i]));
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  if (largest === -Infinity) return logits.fill(0);
  return normalised(logits.map((value) => Math.exp(value - largest)));
}

function normalised(weights) {
  const total = weights.reduce((sum, value) => sum + value, 0);
  return total > 0 ? weights.map((value) => value / total) : weights;
}

// What is drawn, in numbers; as experiments.space.negatives.summary has them.
function summaryOf(shares, similarity, heldOut, popularity) {
  const found = { top: 0, effective: 0, similarity: 0, popularity: 0, held_out: 0 };
  let squares = 0;
  for (let i = 0; i < shares.length; i++) {
    const share = shares[i];
    squares += share * share;
    found.top = Math.max(found.top, share);
    found.similarity += share * similarity[i];
    found.popularity += share * popularity[i];
    if (heldOut[i]) found.held_out += share;
  }
  found.effective = squares > 0 ? 1 / squares : 0;
  return found;
}

// The share of the draws in each bin of s; edges are equally far apart.
function histogramOf(shares, similarity, edges) {
  const bins = new Float64Array(edges.length - 1);
  const width = (edges[edges.length - 1] - edges[0]) / bins.length;
  for (let i = 0; i < shares.length; i++) {
    const bin = Math.floor((similarity[i] - edges[0]) / width);
    bins[Math.min(Math.max(bin, 0), bins.length - 1)] += shares[i];
  }
  return bins;
}
