// Draws Gaussians by the rules of 3D Gaussian Splatting, as leansplat's own renderer does, in place of the engine's own.
//
// The engine cuts its kernel at sqrt(8) standard deviations and lets it end at zero; 3DGS draws the plain exponential
// down to an alpha of 1/255 and caps it at 0.99. It also limits how far off the picture the Jacobian of the projection
// is taken, and leaves out what is nearer than 0.2, or less in a scene of less than a unit. Chunks of the engine's shaders
// are replaced for that. That plane and the flag of mip-splatting are uniforms here, because two scenes in one page may
// differ in them.

const LN_255 = "5.541263545158426" // -2 ln(1/255) / 2: where an opaque Gaussian falls to 1/255

const corner = `
uniform vec4 viewport_size;
uniform float antialiased;
uniform float near;

const float DILATION = 0.3;
const float SLACK = 0.3;

bool initCorner(SplatSource source, SplatCenter center, out SplatCorner corner) {
	vec3 v = center.view;
	if (-v.z <= near) return false;
	vec4 rotation = getRotation().yzwx;
	vec3 scale = getScale();
	modifySplatRotationScale(center.modelCenterOriginal, center.modelCenterModified, rotation, scale);

	// The point at which the projection is linearised stays within 1.3 times the picture's half size of its middle.
	vec2 across = vec2(center.projMat00, center.projMat11);
	vec2 middle = vec2(matrix_projection[2][0], matrix_projection[2][1]);
	vec2 tangent = clamp(-v.xy / v.z, (middle - 1.0 - SLACK) / across, (middle + 1.0 + SLACK) / across);
	vec2 focal = 0.5 * viewport_size.xy * across / -v.z;

	// Rows of J W R S: the footprint B on the picture of the unit sphere that the Gaussian is in its own axes.
	mat3 view = transpose(mat3(center.modelView));
	mat3 axes = quatToMat3(rotation.wxyz);
	vec3 row0 = focal.x * (view[0] + tangent.x * view[2]);
	vec3 row1 = focal.y * (view[1] + tangent.y * view[2]);
	vec3 b0 = vec3(dot(row0, axes[0]), dot(row0, axes[1]), dot(row0, axes[2])) * scale;
	vec3 b1 = vec3(dot(row1, axes[0]), dot(row1, axes[1]), dot(row1, axes[2])) * scale;
	float a = dot(b0, b0);
	float b = dot(b0, b1);
	float c = dot(b1, b1);
	// Cauchy-Binet: a c - b b would cancel for needles.
	vec3 minors = cross(b0, b1);
	float sharp = dot(minors, minors);
	float dilated = sharp + DILATION * (a + c) + DILATION * DILATION;
	corner.aaFactor = antialiased > 0.5 ? sqrt(sharp / dilated) : 1.0;
	a += DILATION;
	c += DILATION;

	float half_difference = 0.5 * (a - c);
	float larger = 0.5 * (a + c) + length(vec2(half_difference, b));
	float smaller = dilated / larger;
	vec2 long_axis = abs(b) > 1e-6 * larger ? normalize(vec2(b, larger - a)) : (a >= c ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
	vec2 v1 = sqrt(2.0 * ${LN_255} * larger) * long_axis;
	vec2 v2 = sqrt(2.0 * ${LN_255} * smaller) * vec2(long_axis.y, -long_axis.x);
	if (!(larger < 1e18)) return false;
	vec2 unit = 2.0 * center.proj.ww * viewport_size.zw; // of a pixel, in clip space
	vec2 extent = sqrt(v1 * v1 + v2 * v2) * unit;
	if (any(greaterThan(abs(center.proj.xy) - extent, center.proj.ww))) return false;
	corner.offset = vec3((source.cornerUV.x * v1 + source.cornerUV.y * v2) * unit, 0.0);
	corner.uv = source.cornerUV;
	return true;
}
`

const fragment = `
varying highp vec2 gaussianUV;
flat varying highp vec4 gaussianColor;

void main(void) {
	highp float squared = dot(gaussianUV, gaussianUV);
	highp float alpha = gaussianColor.a * exp(-${LN_255} * squared);
	if (alpha < 1.0 / 255.0) discard;
	alpha = min(alpha, 0.99);
	gl_FragColor = vec4(gaussianColor.rgb * alpha, alpha);
}
`

/** Replace the one place in a chunk of the engine's that is found, so that another version of it cannot pass unseen. */
function replaced(chunk, before, after) {
  if (chunk.split(before).length !== 2) throw new Error(`the engine's shaders are not those this page was made for: ${before}`)
  return chunk.replace(before, after)
}

/**
 * Make an application draw by these rules.
 * @param {import("playcanvas").AppBase} app with its gsplat system
 * @param {Map<string, string>} chunks the engine's own, in GLSL
 */
export function drawByTheRules(app, chunks) {
  const own = app.scene.gsplat.material.getShaderChunks("glsl")
  own.set("gsplatCornerVS", corner)
  own.set("gsplatPS", fragment)
  const common = replaced(chunks.get("gsplatCommonVS"), "sqrt(max(0.0, log(alpha / alphaClipValue))) * 0.5",
    `sqrt(max(0.0, log(alpha / alphaClipValue)) / ${LN_255})`)
  own.set("gsplatCommonVS", common)
  let vertex = chunks.get("gsplatVS")
  for (const name of ["varying mediump vec2 gaussianUV", "flat varying mediump vec4 gaussianColor"]) {
    vertex = replaced(vertex, name, name.replace("mediump", "highp"))
  }
  own.set("gsplatVS", vertex)
  const { gsplat } = app.scene
  gsplat.antiAlias = true // the factor is always worked out, and is 1 where a scene does not ask for it
  gsplat.minPixelSize = 0
  gsplat.minContribution = 0
  gsplat.radialSorting = false
  gsplat.colorUpdateAngle = 0 // harmonics are evaluated for where the camera is, not for where it was
}
