export { formFields, readForm } from '../pages/form.ts';
